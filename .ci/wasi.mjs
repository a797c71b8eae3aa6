// Runs a test program for wasm32-wasip1 under Node, as cargo's runner: node .ci/wasi.mjs PROGRAM ARGS..
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const args = process.argv.slice(2);
const wasi = new WASI({
    version: "preview1",
    args,
    env: process.env,
    preopens: { "/": "/" }, // the recordings that tests follow
    returnOnExit: true,
});
const program = await WebAssembly.compile(await readFile(args[0]));
process.exitCode = wasi.start(await WebAssembly.instantiate(program, wasi.getImportObject()));
