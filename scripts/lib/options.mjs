// Command lines of the benchmarks: what is wrong with one is said in one line, and --help tells what there is.
import { parseArgs } from "node:util";

/** Ends with a line that says what is wrong with the command line. */
export function refuse(message) {
  console.error(message);
  process.exit(2);
}

/**
 * Reads the command line.
 *
 * @param {string} usage the command, and what it does
 * @param {Record<string, { default?: string | boolean, help: string }>} spec the options; one whose default is `false` takes
 *   no value
 * @returns `{ values, whole(), number(), list() }`: the values as they stand there, and checked
 */
export function commandLine(usage, spec) {
  const entries = Object.entries(spec);
  const isFlag = ({ default: value }) => typeof value === "boolean";
  const options = { help: { type: "boolean", default: false } };
  for (const [name, option] of entries) {
    options[name] = { type: isFlag(option) ? "boolean" : "string" };
    if (option.default !== undefined) options[name].default = option.default;
  }
  let values;
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    refuse(
      `${error.message.split(". ")[0]}; there are --help, ${entries.map(([name]) => `--${name}`).join(", ")}`,
    );
  }
  if (values.help) {
    console.log(`${usage}\n`);
    const label = ([name, option]) => `--${name}${isFlag(option) ? "" : " VALUE"}`;
    const width = Math.max(...entries.map((entry) => label(entry).length));
    for (const entry of entries) {
      const { default: value, help } = entry[1];
      const given = value === undefined || value === false ? "" : ` (default: ${value})`;
      console.log(`  ${label(entry).padEnd(width)}  ${help}${given}`);
    }
    process.exit();
  }
  const numeric = (name, allowed, fits) => {
    const value = Number(values[name]);
    if (values[name].trim() === "" || !fits(value))
      refuse(`--${name} "${values[name]}": allowed is ${allowed}`);
    return value;
  };
  return {
    values,
    /** A whole number within bounds. */
    whole: (name, least = 1, most = 1_000_000) =>
      numeric(
        name,
        `a whole number from ${least} to ${most}`,
        (value) => Number.isInteger(value) && value >= least && value <= most,
      ),
    /** A number from 0. */
    number: (name) => numeric(name, "a number from 0", (value) => value >= 0),
    /** Names, separated by commas. */
    list: (name, allowed) => {
      const names = values[name].split(",");
      for (const each of names)
        if (!allowed.includes(each)) refuse(`--${name} "${each}": allowed are ${allowed.join(", ")}`);
      return names;
    },
  };
}
