// npm run setup [-- STEP...]: installs what the other commands need. Without steps: everything.
import { exitOnProblem } from "./lib/run.mjs";
import { setUp } from "./lib/setup.mjs";

const needs = process.argv.slice(2);
setUp(needs.length ? needs : undefined).catch(exitOnProblem("set-up"));
