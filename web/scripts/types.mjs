// Generates the types of the API from its document.
import { readFile, writeFile } from 'node:fs/promises';
import openapi, { astToString } from 'openapi-typescript';

const [from, to] = [new URL('../../crates/api/openapi.json', import.meta.url), new URL('../src/api/schema.d.ts', import.meta.url)];
const document = JSON.parse(await readFile(from, 'utf8'));

// The document has the names of the codes (`VmBusy`), the wire has the codes (`vm-busy`).
const { ProblemCode } = document.components.schemas;
ProblemCode.enum = ProblemCode.enum.map((name) => name.replaceAll(/(?<=.)[A-Z]/g, '-$&').toLowerCase());

await writeFile(to, astToString(await openapi(document)));
