import type { Command, Run } from '../../command.ts';
import { appliesTo, type OptionSpec } from '../../options/option.ts';
import { optionTable } from '../../options/table.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { write } from '../../output/write.ts';
import { oneOf } from '../image/options.ts';

/** A command, and the options that it has. */
type Completed = Pick<Command, 'summary'> & {
  readonly name: string;
  readonly options: readonly OptionSpec[];
  /** Whether its operands may be files. */
  readonly takesFiles: boolean;
};

/** `completion SHELL`: prints a script for the shell, which is made of the option table. */
export function completionOf(commands: readonly Command[]): Run {
  return async ({ stdout }, line) => {
    const shell = oneOf(['bash', 'zsh', 'fish'])(line.operands[0]?.text ?? '', 'SHELL');
    await write(stdout, scripts[shell](commands.map(completed)));
    return exitCodes.success;
  };
}

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript };

function completed({ name, summary, operands }: Command): Completed {
  const options = optionTable.filter((spec) => appliesTo(spec, name));
  const takesFiles = /FILE|DIR|KEY|LIST/.test(operands) || ['fetch', 'plan', 'bench'].includes(name);
  return { name, summary, options, takesFiles };
}

/** The options of every command, which may stand before it. */
function commonOptions(): readonly OptionSpec[] {
  return optionTable.filter(({ commands }) => commands === 'all');
}

/** The first words of commands, each once: commands, and groups of them. */
function firstWords(commands: readonly Completed[]): readonly string[] {
  return [...new Set(commands.map(({ name }) => name.split(' ')[0] ?? ''))];
}

/** The second words after a first one. */
function subcommands(commands: readonly Completed[], group: string): readonly Completed[] {
  return commands.filter(({ name }) => name.startsWith(`${group} `));
}

/** The groups of commands of two words. */
function groups(commands: readonly Completed[]): readonly string[] {
  return firstWords(commands).filter((word) => subcommands(commands, word).length > 0);
}

const groupSummaries: Readonly<Record<string, string>> = {
  image: 'Work on images of the store',
  fleet: 'Bring one batch over many machines',
};

/** What a first word is for: a command, or a group of them. */
function summaryOf(word: string, commands: readonly Completed[]): string {
  return commands.find(({ name }) => name === word)?.summary ?? groupSummaries[word] ?? '';
}

/** What the value of an option is: words to choose one or several from, a file, a directory, or something that cannot be completed. */
function valueKind({
  name,
  placeholder = '',
  choices,
  words,
}: OptionSpec): 'words' | 'list' | 'file' | 'directory' | 'other' {
  if (choices) return 'words';
  if (words) return 'list';
  if (name === 'from-file' || /FILE/.test(placeholder)) return 'file';
  return placeholder === 'DIR' ? 'directory' : 'other';
}

/** `--keep`, and `-f`, of options with a value. */
function valued(commands: readonly Completed[]): readonly string[] {
  const specs = [...commonOptions(), ...commands.flatMap(({ options }) => options)];
  return [...new Set(specs.filter(({ kind }) => kind !== 'flag').flatMap(flagsOf))];
}

function flagsOf({ name, short }: OptionSpec): readonly string[] {
  return [`--${name}`, ...(short === undefined ? [] : [`-${short}`])];
}

/** Cases of sh(1) that find the command among the words before: `$command` is what was found so far. */
function commandCases(commands: readonly Completed[]): string {
  const first = firstWords(commands).map((word) => `' ${word}'`);
  const second = commands.filter(({ name }) => name.includes(' ')).map(({ name }) => `'${name}'`);
  return `      ${first.join(' | ')}) command=$word ;;
      ${second.join(' | ')}) command="$command $word" ;;`;
}

/** A function of sh(1): whether a word is an option that takes the next one as its value. */
function takesValue(commands: readonly Completed[]): string {
  return `_longshore_takes_value() {
  case "$1" in
    ${valued(commands).join(' | ')}) return 0 ;;
  esac
  return 1
}`;
}

function bashScript(commands: readonly Completed[]): string {
  const every = [{ name: '', options: commonOptions(), takesFiles: false }, ...commands];
  const values = every.flatMap(({ name, options }) =>
    options
      .filter(({ kind }) => kind !== 'flag')
      .map((spec) => {
        const pattern = flagsOf(spec).map((flag) => `'${name} ${flag}'`);
        const action = {
          words: `words='${spec.choices?.join(' ') ?? ''}'`,
          list: `list='${spec.words?.join(' ') ?? ''}'`,
          file: 'files=-f',
          directory: 'files=-d',
          other: ':',
        };
        return { pattern, action: action[valueKind(spec)] };
      }),
  );
  const byAction = Map.groupBy(values, ({ action }) => action);
  const cases = [...byAction].map(
    ([action, all]) => `      ${all.flatMap(({ pattern }) => pattern).join(' | ')}) ${action} ;;`,
  );
  const options = every.map(
    ({ name, options }) =>
      `      '${name}') words='${[...options.flatMap(flagsOf), '--help', '--version'].join(' ')}' ;;`,
  );
  const after = [
    `      '') words='${firstWords(commands).join(' ')}' ;;`,
    ...groups(commands).map((group) => {
      const words = subcommands(commands, group).map(({ name }) => name.split(' ')[1] ?? '');
      const isFileToo = commands.some(({ name, takesFiles }) => name === group && takesFiles);
      return `      '${group}') words='${words.join(' ')}'${isFileToo ? ' files=-f' : ''} ;;`;
    }),
    `      ${commands
      .filter(({ name, takesFiles }) => takesFiles && !groups(commands).includes(name))
      .map(({ name }) => `'${name}'`)
      .join(' | ')}) files=-f ;;`,
    `      'completion') words='${Object.keys(scripts).join(' ')}' ;;`,
  ];
  return `# Completion of longshore for bash: source <(longshore completion bash)
${takesValue(commands)}

_longshore() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} option= command= word= before= words= list= files= i
  if [[ $cur == = ]]; then
    option=$prev cur=
  elif [[ $prev == = ]]; then
    option=\${COMP_WORDS[COMP_CWORD-2]}
  elif [[ $prev == -* ]]; then
    option=$prev
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    before=$word word=\${COMP_WORDS[i]}
    if [[ $word == -* || $word == = || $before == = ]] || _longshore_takes_value "$before"; then continue; fi
    case "$command $word" in
${commandCases(commands)}
    esac
  done
  if [[ $option == -* ]] && _longshore_takes_value "$option"; then
    case "$command $option" in
${cases.join('\n')}
    esac
  elif [[ $cur == -* ]]; then
    case "$command" in
${options.join('\n')}
    esac
  else
    case "$command" in
${after.join('\n')}
    esac
  fi
  if [[ -n $list ]]; then
    before=
    if [[ $cur == *,* ]]; then before=\${cur%,*},; fi
    for word in $list; do
      if [[ ,$before != *,$word,* ]]; then words+=" $before$word"; fi
    done
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ -n $files ]]; then
    local IFS=$'\\n'
    COMPREPLY+=($(compgen $files -- "$cur"))
    compopt -o filenames 2>/dev/null
  fi
  return 0
}

complete -F _longshore longshore
`;
}

function zshScript(commands: readonly Completed[]): string {
  const specs = [{ name: '', options: commonOptions(), takesFiles: false }, ...commands].map(
    ({ name, options, takesFiles }) => {
      const words = name === 'completion' ? `(${Object.keys(scripts).join(' ')})` : takesFiles ? '_files' : '()';
      const all = [
        ...options.flatMap(zshOptions),
        "'(- *)--help[Show help]'",
        "'(- *)--version[Show the version]'",
        `'*: :${words}'`, // _arguments completes no options behind words that it does not expect
      ];
      return `    '${name}')\n      specs=(\n${all.map((spec) => `        ${spec}\n`).join('')}      ) ;;`;
    },
  );
  const describe = (rows: readonly (readonly [string, string])[]): string =>
    rows.map(([word, summary]) => ` ${quote(`${word}:${summary}`)}`).join('');
  const first = firstWords(commands).map((word) => [word, summaryOf(word, commands)] as const);
  const second = groups(commands).map(
    (group) =>
      `    ${group}) names=(${describe(subcommands(commands, group).map(({ name, summary }) => [name.split(' ')[1] ?? '', summary]))} ) ;;`,
  );
  return `#compdef longshore
# Completion of longshore for zsh: longshore completion zsh >"\${fpath[1]}/_longshore"
${takesValue(commands)}

_longshore() {
  local command= word= before= i
  local -a specs names
  for ((i = 2; i < CURRENT; i++)); do
    before=$word word=$words[i]
    if [[ $word == -* ]] || _longshore_takes_value "$before"; then continue; fi
    case "$command $word" in
${commandCases(commands)}
    esac
  done
  if [[ $words[CURRENT] != -* ]] && ! _longshore_takes_value "$words[CURRENT-1]"; then
    case "$command" in
    '') names=(${describe(first)} ) ;;
${second.join('\n')}
    esac
    [[ -n $names ]] && _describe -t commands command names
  fi
  case "$command" in
${specs.join('\n')}
  esac
  [[ -n $specs ]] && _arguments -S "$specs[@]"
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _longshore "$@"; else compdef _longshore longshore; fi
`;
}

function zshOptions(spec: OptionSpec): readonly string[] {
  const { name, short, kind, choices = [], words = [], placeholder = 'value', help } = spec;
  const said = `[${help.replaceAll(/[[\]\\]/g, String.raw`\$&`)}]`;
  const action = {
    words: `(${choices.join(' ')})`,
    list: ` _values -s , ${placeholder} ${words.join(' ')}`,
    file: '_files',
    directory: '_files -/',
    other: ' ',
  }[valueKind(spec)];
  const value = kind === 'flag' ? '' : `:${placeholder.replaceAll(':', String.raw`\:`)}:${action}`;
  const many = kind === 'values' || kind === 'named' ? '*' : '';
  const [long, letter] = kind === 'flag' ? [`--${name}`, `-${short}`] : [`--${name}=`, `-${short}+`];
  return [long, ...(short === undefined ? [] : [letter])].map((form) => quote(`${many}${form}${said}${value}`));
}

/** A word of sh(1), whatever is in it. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function fishScript(commands: readonly Completed[]): string {
  const known = [...new Set([...firstWords(commands), ...commands.map(({ name }) => name)])].map(fishWord).join(' ');
  const complete = (names: readonly string[] | 'all', rest: string): string =>
    `complete -c longshore${names === 'all' ? '' : ` -n "__longshore_is ${names.map(fishWord).join(' ')}"`} ${rest}`;
  const words = [
    ...firstWords(commands).map((word) => ({ group: '', word, summary: summaryOf(word, commands) })),
    ...groups(commands).flatMap((group) =>
      subcommands(commands, group).map(({ name, summary }) => ({ group, word: name.slice(group.length + 1), summary })),
    ),
  ].map(({ group, word, summary }) => complete([group], `-a ${word} -d ${fishText(summary)}`));
  const options = optionTable.map((spec) => {
    const value = {
      words: `-x -a '${spec.choices?.join(' ') ?? ''}'`,
      list: `-x -a '(__fish_complete_list , "string split , ${spec.words?.join(',') ?? ''}")'`,
      file: '-r -F',
      directory: "-x -a '(__fish_complete_directories)'",
      other: '-x',
    };
    const kind = spec.kind === 'flag' ? '' : ` ${value[valueKind(spec)]}`;
    const short = spec.short === undefined ? '' : ` -s ${spec.short}`;
    return complete(spec.commands, `-l ${spec.name}${short}${kind} -d ${fishText(spec.help)}`);
  });
  const withFiles = commands.filter(({ takesFiles }) => takesFiles).map(({ name }) => name);
  return `# Completion of longshore for fish: longshore completion fish | source
function __longshore_command
  set -l found
  set -l before
  for word in (commandline -opc)[2..-1]
    if not string match -q -- '-*' $word; and not contains -- "$before" ${valued(commands).join(' ')}
      set -l next (string trim -- "$found $word")
      contains -- $next ${known}; and set found $next
    end
    set before $word
  end
  echo "$found"
end

function __longshore_is
  contains -- (__longshore_command) $argv
end

complete -c longshore -f
${[...words, ...options].join('\n')}
complete -c longshore -l help -s h -d 'Show help'
complete -c longshore -l version -d 'Show the version'
${complete(withFiles, '-F')}
${complete(['completion'], `-a '${Object.keys(scripts).join(' ')}'`)}
`;
}

function fishWord(name: string): string {
  return /^[a-z-]+$/.test(name) ? name : `'${name}'`;
}

function fishText(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}
