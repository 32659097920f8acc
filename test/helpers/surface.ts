import { join } from 'node:path';

import ts from 'typescript';

/** What a package entry exports, as its declarations say it. */
export type Exported = {
  readonly name: string;
  readonly isType: boolean;
  readonly doc: string;
  /** Its declaration, without comments and bodies. */
  readonly declaration: string;
  readonly members: readonly { readonly name: string; readonly type: string; readonly doc: string }[];
  /** Types of the package that its declaration names. */
  readonly uses: readonly string[];
};

const root = join(import.meta.dirname, '../..');
const sources = [join(root, 'src'), join(root, 'workers')];

/** Reads the entry with the compiler. @param entry - relative to the package, such as `src/index.ts`. */
export function readSurface(entry: string): readonly Exported[] {
  const config = ts.getParsedCommandLineOfConfigFile(
    join(root, 'tsconfig.build.json'),
    {},
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: () => undefined,
    },
  );
  const path = join(root, entry);
  const program = ts.createProgram([path], config?.options ?? {});
  const checker = program.getTypeChecker();
  const file = program.getSourceFile(path);
  const module = file && checker.getSymbolAtLocation(file);
  if (!module) throw new Error(`${entry} is not a module`);
  const exported = checker.getExportsOfModule(module).map((symbol) => ({ symbol, target: targetOf(checker, symbol) }));
  const names = new Map(exported.map(({ symbol, target }) => [target, symbol.name]));
  return exported
    .map(({ symbol, target }) => describe(checker, symbol.name, target, names))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function targetOf(checker: ts.TypeChecker, symbol: ts.Symbol): ts.Symbol {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

function describe(
  checker: ts.TypeChecker,
  name: string,
  symbol: ts.Symbol,
  names: ReadonlyMap<ts.Symbol, string>,
): Exported {
  const declarations = (symbol.declarations ?? []).filter((one) => !isImplementation(symbol, one));
  const isType = (symbol.flags & ts.SymbolFlags.Value) === 0;
  const type = isType ? checker.getDeclaredTypeOfSymbol(symbol) : undefined;
  return {
    name,
    isType,
    doc: docOf(checker, symbol),
    declaration: declarations.map(printed).join('\n'),
    members: type ? membersOf(checker, type) : [],
    uses: [...new Set(declarations.flatMap((one) => typesIn(checker, one)))].map(
      (used) => names.get(used) ?? `${used.name} (not exported)`,
    ),
  };
}

/** Overloads stand for the function that implements them. */
function isImplementation(symbol: ts.Symbol, declaration: ts.Declaration): boolean {
  const isFunction = ts.isFunctionDeclaration(declaration);
  return (
    isFunction &&
    declaration.body !== undefined &&
    (symbol.declarations?.filter(ts.isFunctionDeclaration).length ?? 0) > 1
  );
}

/** Members that are declared in the package; a union has those of each of its parts. */
function membersOf(checker: ts.TypeChecker, type: ts.Type): Exported['members'] {
  const parts = type.isUnion() ? type.types : [type];
  const found = new Map<string, Exported['members'][number]>();
  for (const part of parts.filter((one) => (one.flags & ts.TypeFlags.Object) !== 0 || one.isIntersection())) {
    for (const property of checker.getPropertiesOfType(part)) {
      const [declaration] = property.declarations ?? [];
      if (!declaration || !isOurs(declaration) || found.has(property.name)) continue;
      const shown =
        ts.isPropertySignature(declaration) && declaration.type ? declaration.type.getText() : declaration.getText();
      found.set(property.name, {
        name: property.name,
        type: shown.replace(/\s+/g, ' '),
        doc: docOf(checker, property),
      });
    }
  }
  return [...found.values()];
}

function docOf(checker: ts.TypeChecker, symbol: ts.Symbol): string {
  const tags = symbol.getJsDocTags(checker).map(({ name, text }) => `@${name} ${ts.displayPartsToString(text)}`.trim());
  return [ts.displayPartsToString(symbol.getDocumentationComment(checker)), ...tags]
    .filter((line) => line !== '')
    .join('\n');
}

function isOurs(node: ts.Node): boolean {
  const { fileName } = node.getSourceFile();
  return sources.some((directory) => fileName.startsWith(directory));
}

/** The types of the package that a declaration names, bodies aside. */
function typesIn(checker: ts.TypeChecker, declaration: ts.Declaration): readonly ts.Symbol[] {
  const found: ts.Symbol[] = [];
  const own =
    'typeParameters' in declaration ? (declaration.typeParameters as readonly ts.Node[] | undefined) : undefined;
  const visit = (node: ts.Node): void => {
    if (ts.isBlock(node) || ts.isJSDoc(node)) return;
    if (ts.isVariableDeclaration(node)) return void (node.type && visit(node.type));
    if (ts.isTypeReferenceNode(node)) {
      const symbol = checker.getSymbolAtLocation(node.typeName);
      const target = symbol && targetOf(checker, symbol);
      const [named] = target?.declarations ?? [];
      if (target && named && isOurs(named) && !ts.isTypeParameterDeclaration(named)) found.push(target);
    }
    ts.forEachChild(node, visit);
  };
  visit(declaration);
  return own ? found.filter((symbol) => !symbol.declarations?.some((one) => own.includes(one))) : found;
}

const printer = ts.createPrinter({ removeComments: true });

/** A declaration as a declaration file would have it. */
function printed(declaration: ts.Declaration): string {
  const file = declaration.getSourceFile();
  if (ts.isFunctionDeclaration(declaration) && declaration.body) {
    const { name, typeParameters, parameters, type } = declaration;
    const bare = ts.factory.createFunctionDeclaration(
      undefined,
      undefined,
      name,
      typeParameters,
      parameters,
      type,
      undefined,
    );
    return printer.printNode(ts.EmitHint.Unspecified, bare, file);
  }
  return printer.printNode(ts.EmitHint.Unspecified, declaration, file).replace(/^export /, '');
}
