import type { Operand, Option } from "./arguments.ts";
import { command } from "./command.ts";
import { type Description, family } from "./usage.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** `podwire completion SHELL`; `all` gives every command there is, this one too. */
export const completionCommand = (all: () => readonly Description[]) =>
  command({
    name: "completion",
    summary: "print a script that lets a shell complete podwire's command lines",
    about: [
      "Load it into a running shell by: source <(podwire completion bash). make install puts each where its shell " +
        "finds it.",
    ],
    operands: { SHELL: { about: "the shell", among: shells } },
    say(given) {
      const shell = given.get("SHELL") as Shell;
      const script = scripts[shell](all());
      return { text: script, facts: { shell, script } };
    },
  });

const scripts: Record<Shell, (commands: readonly Description[]) => string> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** What stands for an argument says what to complete it with. */
const kindOf = (shown: string): "folder" | "file" | "nothing" =>
  shown === "DIR" ? "folder" : ["FILE", "CONFLIST", "NETNS"].includes(shown) ? "file" : "nothing";

/** Text in single quotes, for every one of the shells. */
const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

const lastWord = ({ name }: Description): string => name.split(" ").at(-1)!;

/** Commands with those that others begin: "leases", "leases release". */
const every = (commands: readonly Description[]): Description[] => commands.flatMap(family);

const operandsOf = ({ operands }: Description): [string, Operand][] => Object.entries(operands);
const valuesOf = ({ options }: Description): [string, Option][] =>
  Object.entries(options).filter(([, { value }]) => value !== undefined);

// bash: the words that are commands are found first, then what may stand at the cursor.

function bashScript(commands: readonly Description[]): string {
  const all = every(commands);
  const named = all.map((each) => `            ${quoted(` ${each.name}`)}) name=${quoted(each.name)} ;;`);
  return `# bash completion for podwire
_podwire() {
    local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} name= words= files= at
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "\${name:+ $name} \${COMP_WORDS[at]}" in
${named.join("\n")}
        esac
    done
    case "$name $previous" in
${all.flatMap(bashValues).join("\n")}
    esac
    case $name in
        '') words=${quoted([...commands.map(({ name }) => name), "help", "version"].join(" "))} ;;
${all.map(bashWords).join("\n")}
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current"; [ -z "$files" ] || compgen -f -- "$current")
}
complete -o filenames -F _podwire podwire
`;
}

const bashValues = (each: Description): string[] =>
  valuesOf(each).map(([option, { value, among }]) => {
    const by = { folder: "-d", file: "-f", nothing: `-W ${quoted((among ?? []).join(" "))}` }[kindOf(value!)];
    const when = quoted(`${each.name} ${option}`);
    return `        ${when}) mapfile -t COMPREPLY < <(compgen ${by} -- "$current"); return ;;`;
  });

function bashWords(each: Description): string {
  const words = [
    ...each.commands.map(lastWord),
    ...operandsOf(each).flatMap(([, { among = [] }]) => among),
    ...Object.keys(each.options),
  ];
  const files = operandsOf(each).some(([name]) => kindOf(name) !== "nothing") ? " files=yes" : "";
  return `        ${quoted(each.name)}) words=${quoted(words.join(" "))}${files} ;;`;
}

// zsh: a list of commands, then _arguments for the one that was typed.

function zshScript(commands: readonly Description[]): string {
  const described = commands.map(
    ({ name, summary }) => `        ${quoted(`${name}:${summary.replaceAll(":", "\\:")}`)}`,
  );
  return `#compdef podwire
_podwire() {
    local name=$words[2]
    local -a commands=(
${described.join("\n")}
    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    shift words
    ((CURRENT--))
${commands.flatMap(({ commands: inner }) => inner.map(zshInner)).join("\n")}
    case $name in
${every(commands).map(zshCase).join("\n")}
    esac
}
_podwire "$@"
`;
}

const zshInner = (inner: Description): string => {
  const word = lastWord(inner);
  const outer = inner.name.slice(0, -word.length - 1);
  return `    if [[ $name == ${quoted(outer)} && $words[2] == ${quoted(word)} ]] && ((CURRENT > 2)); then
        name=${quoted(inner.name)}
        shift words
        ((CURRENT--))
    fi`;
};

const zshBy = (shown: string, among: readonly string[] | undefined): string =>
  among ? `(${among.join(" ")})` : { folder: "_files -/", file: "_files", nothing: " " }[kindOf(shown)];

function zshCase(each: Description): string {
  const inner = each.commands.map(lastWord);
  const options = Object.entries(each.options).map(([name, { value, about, among, repeated }]) => {
    const escaped = (text: string): string => text.replaceAll(/[[\]:\\]/g, String.raw`\$&`);
    const argument = value === undefined ? "" : `:${escaped(value)}:${zshBy(value, among)}`;
    return quoted(`${repeated ? "*" : ""}${name}[${escaped(about)}]${argument}`);
  });
  const operands = operandsOf(each).map(([name, { among, repeated, optional }], at) =>
    quoted(`${repeated ? "*" : at + 1}:${optional ? ":" : ""}${name}:${zshBy(name, among)}`),
  );
  const all = [...options, ...(inner.length > 0 ? [quoted(`1::command:(${inner.join(" ")})`)] : []), ...operands];
  return `        ${quoted(each.name)}) _arguments ${all.join(" ")} ;;`;
}

// fish: one line a word, with the commands behind which it may stand.

function fishScript(commands: readonly Description[]): string {
  const lines = [
    "# fish completion for podwire",
    "complete -c podwire -f",
    ...commands.map(({ name, summary }) => fishLine("__fish_use_subcommand", `-a ${name} -d ${quoted(summary)}`)),
    ...every(commands).flatMap(fishCommand),
  ];
  return `${lines.join("\n")}\n`;
}

const fishLine = (when: string, what: string): string => `complete -c podwire -n ${quoted(when)} ${what}`;

function fishCommand(each: Description): string[] {
  const seen = each.name.split(" ").map((word) => `__fish_seen_subcommand_from ${word}`);
  const not = each.commands.map((inner) => `not __fish_seen_subcommand_from ${lastWord(inner)}`);
  const when = [...seen, ...not].join("; and ");
  return [
    ...each.commands.map((inner) => fishLine(when, `-a ${lastWord(inner)} -d ${quoted(inner.summary)}`)),
    ...operandsOf(each).flatMap(([name, { among }]) => {
      if (among) return [fishLine(when, `-a ${quoted(among.join(" "))}`)];
      return kindOf(name) === "nothing" ? [] : [fishLine(when, "-F")];
    }),
    ...Object.entries(each.options).map(([name, { value, about, among }]) =>
      fishLine(when, `-l ${name.slice(2)} ${fishValue(value, among)}-d ${quoted(about)}`),
    ),
  ];
}

function fishValue(value: string | undefined, among: readonly string[] | undefined): string {
  if (value === undefined) return "";
  if (among) return `-x -a ${quoted(among.join(" "))} `;
  return { folder: "-x -a '(__fish_complete_directories)' ", file: "-r -F ", nothing: "-x " }[kindOf(value)];
}
