// Serves the built console, with the policy that the real server sends, and an API over a `World`.
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';

import type { Vm } from '../../src/api/types';
import { aboutProviders } from './providers';
import { checks, policies, type World } from './world';

/** Where the build put the console. */
const DIST = process.env['CADENAS_CONSOLE_OUT'] ?? new URL('../../dist/', import.meta.url).pathname;
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
  "form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
export const TOKEN = 'once-and-never-again';

export interface Call {
  world: World;
  url: URL;
  body: Record<string, unknown>;
  answer: (status: number, data?: unknown, headers?: Record<string, string>) => void;
}

export class MockServer {
  signedIn = true;
  /** Every request that changes something: `POST /api/v1/vms/…:start {}`. */
  asked: string[] = [];
  #server: Server;

  constructor(readonly world: World) {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://mock');
    response.setHeader('content-security-policy', POLICY);
    if (!url.pathname.startsWith('/api/')) return sendFile(url.pathname, response);
    const text = await readText(request);
    const method = request.method ?? 'GET';
    if (method !== 'GET') this.asked.push(`${method} ${url.pathname} ${text}`.trim());
    if (url.pathname === '/api/v1/changes') return this.#changes(response);
    const answer: Call['answer'] = (status, data, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(data === undefined ? undefined : JSON.stringify(data));
    };
    const body = text ? (JSON.parse(text) as Record<string, unknown>) : {};
    if (url.pathname === '/api/v1/session') return this.#session(method, body, answer);
    if (!this.signedIn) return answer(401, problem('not-signed-in', 401));
    route(`${method} ${decodeURIComponent(url.pathname.slice('/api/v1'.length))}`, { world: this.world, url, body, answer });
  }

  #session(method: string, body: Record<string, unknown>, answer: Call['answer']): void {
    const session = { user: 'root', host: 'kvm01', expires: new Date(Date.now() + 3_600_000).toISOString() };
    if (method === 'DELETE') return void ((this.signedIn = false), answer(204));
    if (method === 'POST') {
      this.signedIn = body['token'] === TOKEN;
      return this.signedIn ? answer(201, session) : answer(401, problem('link-spent', 401));
    }
    return this.signedIn ? answer(200, session) : answer(401, problem('not-signed-in', 401));
  }

  #changes(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const tell = (event: string, data: unknown) => void response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    response.write(': here\n\n');
    this.world.tasks.toReversed().forEach((task) => tell('task', task));
    this.world.told.add(tell);
    response.on('close', () => this.world.told.delete(tell));
  }
}

function route(asked: string, call: Call): void {
  const { world, body, answer } = call;
  if (asked === 'GET /vms') return listVms(call);
  if (asked === 'GET /events') return listEvents(call);
  const plain: Record<string, () => unknown> = {
    'GET /summary': () => world.summary(),
    'GET /providers': () => world.providers,
    'GET /policies': () => policies,
    'GET /tasks': () => world.tasks,
    'POST /vms:plan-recrypt': () => world.plan(body),
    'GET /features': () => world.features,
    'GET /doctor': () => checks,
  };
  if (plain[asked]) return answer(200, plain[asked]());
  if (aboutProviders(asked, call)) return;
  if (asked === 'POST /vms:recrypt') return answer(202, world.beginMany(body));
  const feature = world.features.find(({ name }) => asked === `PUT /features/${name}`);
  if (feature) return answer(200, Object.assign(feature, { message: undefined }, body));
  const shown = world.tasks.find(({ id }) => asked === `GET /tasks/${id}`);
  if (shown) return answer(200, shown);
  const task = /^POST \/tasks\/([^:]+):cancel$/.exec(asked);
  const running = world.tasks.find(({ id }) => id === task?.[1]);
  if (running) return answer(200, world.tell({ ...running, state: 'cancelled', finished: new Date().toISOString() }));
  const [, id, rest] = /^\w+ \/vms\/([^:/]+)(.*)$/.exec(asked) ?? [];
  const vm = world.vms.find((one) => one.id === id);
  if (!vm) return answer(404, problem('no-such-vm', 404, `there is no VM ${id}`));
  if (rest === '') return answer(200, vm);
  if (rest === '/actions') return answer(200, world.actions(vm));
  const kind = rest === ':set-policy' ? (policies.find(({ name }) => name === body['policy'])?.encrypts ? 'encrypt' : 'decrypt') : rest?.slice(1);
  answer(202, world.begin(vm, `vm.${kind}`));
}

function listVms({ world, url, answer }: Call): void {
  const wants = (name: string): string | null => url.searchParams.get(name);
  const fits = (vm: Vm): boolean =>
    vm.name.includes(wants('search')?.toLowerCase() ?? '') &&
    (wants('padlock') ?? vm.padlock) === vm.padlock &&
    (wants('power') ?? vm.power) === vm.power &&
    (wants('due') === null || vm.due !== undefined) &&
    (wants('provider') === null || vm.providers.some(({ id }) => id === wants('provider')));
  const found = world.vms.filter(fits);
  const offset = Number(wants('offset') ?? 0);
  const page = found.slice(offset, offset + Number(wants('limit') ?? found.length));
  answer(200, page, { 'x-total-count': String(found.length) });
}

function listEvents({ world, url, answer }: Call): void {
  const limit = Number(url.searchParams.get('limit') ?? 1_000);
  const after = url.searchParams.get('after');
  if (!url.searchParams.has('newest_first')) {
    return answer(200, world.events.filter(({ sequence }) => sequence > Number(after ?? 0)).slice(0, limit));
  }
  const before = world.events.filter(({ sequence }) => after === null || sequence < Number(after));
  answer(200, before.toReversed().slice(0, limit));
}

function problem(code: string, status: number, detail = 'so says the test'): object {
  return { type: `urn:cadenas:problem:${code}`, title: code, status, code, detail };
}

async function sendFile(path: string, response: ServerResponse): Promise<void> {
  const file = extname(path) ? path : '/index.html';
  try {
    const bytes = await readFile(join(DIST, file));
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
