import { join } from 'node:path';

import ts from 'typescript';

/** What a package entry exports, as its declarations say it. */
export type Exported = {
  readonly name: string;
  readonly isType: boolean;
  readonly doc: string;
  /** Its declaration, without comments and bodies. */
  readonly declaration: string;
  /** The members of its type; of a union, those of each of its parts. */
  readonly variants: readonly (readonly Member[])[];
  /** Types of the package that its declaration names. */
  readonly uses: readonly string[];
};

export type Member = {
  readonly name: string;
  readonly isOptional: boolean;
  readonly type: string;
  readonly doc: string;
  /** The type's own members, where it is not declared elsewhere. */
  readonly members: readonly Member[];
};

/** All members of a type, each once. */
export function membersOf({ variants }: Exported): readonly Member[] {
  return [...new Map(variants.flat().map((member) => [member.name, member])).values()];
}

const root = join(import.meta.dirname, '../..');
const sources = [join(root, 'src'), join(root, 'workers')];

/** Reads the entry with the compiler. @param entry - relative to the package, such as `src/index.ts`. */
export function readSurface(entry: string): readonly Exported[] {
  program ??= openProgram();
  const path = join(root, entry);
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

/** Of both entries and all that they import, read once: that takes seconds. */
let program: ts.Program | undefined;

function openProgram(): ts.Program {
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined };
  const config = ts.getParsedCommandLineOfConfigFile(join(root, 'tsconfig.build.json'), {}, host);
  if (!config) throw new Error('tsconfig.build.json cannot be read');
  return ts.createProgram(config.fileNames, config.options);
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
    doc: docOf(symbol),
    declaration: declarations.map((one) => declarationText(checker, symbol, one)).join('\n'),
    variants: type ? variantsOf(checker, type) : [],
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

function variantsOf(checker: ts.TypeChecker, type: ts.Type): Exported['variants'] {
  const parts = type.isUnion() ? type.types : [type];
  return parts
    .filter((part) => (part.flags & ts.TypeFlags.Object) !== 0 || part.isIntersection())
    .map((part) => checker.getPropertiesOfType(part).flatMap((property) => memberOf(checker, property)));
}

/** A member, if it is declared in the package and has a name that a program can write. */
function memberOf(checker: ts.TypeChecker, property: ts.Symbol): readonly Member[] {
  const [declaration] = property.declarations ?? [];
  if (!declaration || !isOurs(declaration) || property.name.startsWith('__@')) return [];
  const type = ts.isPropertySignature(declaration) ? declaration.type : undefined;
  const text = (type ?? declaration).getText().replace(/\/\*\*.*?\*\/|\/\/.*$/gms, '');
  const literals = type ? literalsIn(type) : [];
  return [
    {
      name: property.name,
      isOptional: (property.flags & ts.SymbolFlags.Optional) !== 0,
      type: text.replace(/\s+/g, ' ').replace(/^\| /, ''),
      doc: docOf(property),
      members: literals
        .flatMap((literal) => checker.getPropertiesOfType(checker.getTypeAtLocation(literal)))
        .flatMap((inner) => memberOf(checker, inner)),
    },
  ];
}

/** The object types that are written out in a type. */
function literalsIn(type: ts.TypeNode): readonly ts.TypeLiteralNode[] {
  const found: ts.TypeLiteralNode[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isTypeLiteralNode(node)) found.push(node);
    else if (!ts.isTypeReferenceNode(node) || node.typeName.getText() === 'Readonly') ts.forEachChild(node, visit);
  };
  visit(type);
  return found;
}

/** The text of its comment, with the tags, as lines without indentation. */
function docOf(symbol: ts.Symbol): string {
  const comments = (symbol.declarations ?? []).flatMap((one) => ts.getJSDocCommentsAndTags(one).filter(ts.isJSDoc));
  const texts = comments.map((comment) =>
    comment
      .getText()
      .replace(/^\/\*\*|\*\/$/g, '')
      .replace(/^ *\* ?/gm, '')
      .trim(),
  );
  return [...new Set(texts)].join('\n'); // the parts of a union often say the same
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

/** A constant that can be called or constructed is shown by how that is done. */
function declarationText(checker: ts.TypeChecker, symbol: ts.Symbol, declaration: ts.Declaration): string {
  if (!ts.isVariableDeclaration(declaration)) return printed(declaration);
  const signatures = checker.getTypeOfSymbol(symbol).getConstructSignatures();
  const flags = ts.TypeFormatFlags.NoTruncation;
  return signatures.map((one) => `new ${symbol.name}${checker.signatureToString(one, declaration, flags)}`).join('\n');
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
