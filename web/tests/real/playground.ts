// The real thing: two servers on private libvirts with real guests, and a key server, as `make playground` shows them to people.
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync, truncateSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';

const TARGET = new URL('../../../target/debug/', import.meta.url).pathname;
const PATIENCE_MS = 90_000;

export interface Site {
  /** The process. */
  server: number;
  data: string;
  socket: string;
  libvirt: string;
  datastore: string;
}

interface Contents {
  program: string;
  sites: { paris: Site; lyon: Site };
  kms: { address: string; ca: string; certificate: string; key: string };
  guests: { name: string; console: string }[];
}

export class Playground {
  private constructor(
    readonly contents: Contents,
    private readonly process: ChildProcessWithoutNullStreams,
    private readonly lines: AsyncIterator<string>,
    private readonly reader: Interface,
  ) {}

  static async open(...arguments_: string[]): Promise<Playground> {
    const environment = { ...process.env, CADENAS_BIN: process.env['CADENAS_BIN'] ?? `${TARGET}cadenas` };
    const child = spawn(process.env['CADENAS_PLAYGROUND'] ?? `${TARGET}playground`, arguments_, { env: environment });
    let complaint = '';
    child.stderr.on('data', (text: Buffer) => (complaint += text.toString()));
    const reader = createInterface(child.stdout);
    const lines = reader[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done) throw new Error(`the playground did not open: ${complaint}`);
    return new Playground(JSON.parse(first.value) as Contents, child, lines, reader);
  }

  /** `kms stop` and the like. */
  async tell(command: string): Promise<void> {
    this.process.stdin.write(`${command}\n`);
    const answer = await this.lines.next();
    if (answer.value !== command) throw new Error(`${command}: ${String(answer.value)}`);
  }

  /** `cadenas` on a site; what it prints. */
  cadenas(site: Site, ...arguments_: string[]): string {
    return execFileSync(this.contents.program, ['--socket', site.socket, ...arguments_], { encoding: 'utf8' });
  }

  virsh(site: Site, ...arguments_: string[]): string {
    return execFileSync('virsh', ['-q', '-c', site.libvirt, ...arguments_], { encoding: 'utf8' });
  }

  link(site: Site): string {
    return this.cadenas(site, 'console', '--no-browser', '--quiet').trim();
  }

  /** Forgets what a guest has said so far. */
  forget(name: string): void {
    truncateSync(this.#consoleOf(name));
  }

  /** Waits until a guest has said something on its console. */
  async hears(name: string, text: string): Promise<void> {
    const path = this.#consoleOf(name);
    const end = Date.now() + PATIENCE_MS;
    for (let said = ''; !said.includes(text); said = readFileSync(path, 'utf8')) {
      if (Date.now() > end) throw new Error(`${name} has not said ${text}, but:\n${said}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  #consoleOf(name: string): string {
    const guest = this.contents.guests.find((guest) => guest.name === name);
    if (!guest) throw new Error(`there is no guest ${name}`);
    return guest.console;
  }

  /** Ends it; it leaves nothing. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.stdin.end();
    this.reader.close();
    await ended;
  }
}
