// Key providers as the API has them, with backup files that are as good as the tests need.
import type { CertificateView, KeyVersion, Provider, ProviderUser } from '../../src/api/types';
import type { Call } from './server';

/** A backup of the mock: what a real one holds, in the clear. */
interface Backup {
  provider: string;
  name: string;
  keys: string[];
  password?: string;
}

export const FINGERPRINTS = ['ab'.repeat(32), 'cd'.repeat(32)] as const;

export function key(id: string, rest: Partial<KeyVersion> = {}): KeyVersion {
  return { id, fingerprint: id.slice(-8), state: 'not-backed-up', created: new Date().toISOString(), ...rest };
}

export function backupFile(backup: Backup): string {
  return Buffer.from(JSON.stringify(backup)).toString('base64');
}

/** Answers what is asked about key providers; false of anything else. */
export function aboutProviders(asked: string, call: Call): boolean {
  const all: Record<string, (call: Call) => void> = {
    'POST /providers': create,
    'POST /providers:restore': restore,
    'POST /providers:verify-backup': verify,
  };
  const [, method = '', id, verb = ''] = /^(\w+) \/providers\/([^:]+):?(.*)$/.exec(asked) ?? [];
  const provider = call.world.providers.find((one) => one.id === id);
  const act = provider ? (call: Call) => aboutOne(`${method} ${verb}`.trim(), provider, call) : all[asked];
  act?.(call);
  return act !== undefined;
}

function create({ world, body, answer }: Call): void {
  const standard = body['kind'] === 'standard';
  const made: Provider = {
    id: crypto.randomUUID(),
    name: String(body['name']),
    kind: standard ? 'standard' : 'native',
    state: standard ? 'not-trusted' : 'not-backed-up',
    default: world.providers.length === 0,
    created: new Date().toISOString(),
    tpm_required: body['tpm_required'] === true,
    vms: 0,
    versions: standard ? [] : [key(crypto.randomUUID())],
    ...(standard && { kms: { servers: body['kms'] as string[] } }),
  };
  answer(201, world.add(made));
}

function aboutOne(asked: string, provider: Provider, call: Call): void {
  const { world, body, answer } = call;
  const changed = (change: Partial<Provider>): void => answer(200, world.change(provider.id, change));
  const kms = (change: Partial<NonNullable<Provider['kms']>>, rest: Partial<Provider> = {}): void =>
    changed({ kms: { servers: [], ...provider.kms, ...change }, ...rest });
  const acts: Record<string, () => void> = {
    GET: () => answer(200, { ...provider, users: users(provider, call) }),
    PATCH: () => changed({ name: String(body['name']) }),
    DELETE: () => remove(provider, call),
    'POST set-default': () => {
      world.providers = world.providers.map((one) => ({ ...one, default: one.id === provider.id }));
      changed({});
    },
    'POST rotate': () => changed({ versions: provider.kind === 'native' ? [key(crypto.randomUUID()), ...provider.versions] : [] }),
    'POST set-rotation': () => changed({ rotation: rotation(body['every_days']) }),
    'POST backup': () => answer(200, { p12: backupOf(provider, body['password']) }),
    'POST confirm-backup': () => confirm(provider, call),
    'POST set-servers': () => kms({ servers: body['servers'] as string[] }),
    'POST set-user': () => kms({ user: (body['user'] as string | undefined) ?? null }),
    'POST show-certificates': () => answer(200, shown(provider)),
    'POST trust': () => kms({ trust: { pinned: (body['pin'] as string[] | undefined) ?? [] } }, { state: 'active' }),
    'POST set-identity': () => identity(call),
    'POST test': () => answer(200, provider.kms?.servers.map((server, index) => tested(server, index === 0))),
  };
  const act = acts[asked];
  if (act) act();
  else answer(404);
}

function rotation(days: unknown): NonNullable<Provider['rotation']> | null {
  return typeof days === 'number' ? { every_days: days, next: new Date(Date.now() + days * 86_400_000).toISOString() } : null;
}

function users(provider: Provider, { world }: Call): ProviderUser[] {
  const those = world.vms.filter((vm) => vm.providers.some(({ id }) => id === provider.id));
  return those.map((vm) => ({ kind: 'vm', vm: vm.id, name: vm.name, keys: vm.providers.map((used) => used.key) }));
}

function remove(provider: Provider, call: Call): void {
  const { world, url, answer } = call;
  if (users(provider, call).length > 0 && url.searchParams.get('confirm') !== provider.name) {
    return answer(409, { type: '', title: '', status: 409, code: 'provider-in-use', detail: `key provider ${provider.name} is in use` });
  }
  world.providers = world.providers.filter((one) => one !== provider);
  world.happen('provider.removed', 'a key provider was removed');
  answer(200, provider);
}

function backupOf({ id, name, versions }: Provider, password: unknown): string {
  return backupFile({ provider: id, name, keys: versions.map((version) => version.id), ...(typeof password === 'string' && { password }) });
}

/** The backup that a request brings; undefined after a refusal. */
function opened({ body, answer }: Call): Backup | undefined {
  const refuse = (code: string): void => answer(400, { type: '', title: '', status: 400, code, detail: 'so says the test' });
  let backup: Backup;
  try {
    backup = JSON.parse(Buffer.from(String(body['p12']), 'base64').toString()) as Backup;
  } catch {
    return void refuse('bad-backup');
  }
  if (backup.password === body['password']) return backup;
  return void refuse(body['password'] === undefined ? 'password-needed' : 'wrong-password');
}

function confirm(provider: Provider, call: Call): void {
  const backup = opened(call);
  if (!backup) return;
  const proof = { backed_up: new Date().toISOString(), backup_has_password: backup.password !== undefined };
  const versions = provider.versions.map((version, place) => ({ ...version, ...proof, state: place === 0 ? ('current' as const) : ('old' as const) }));
  call.answer(200, call.world.change(provider.id, { versions, state: 'active' }));
}

function verify(call: Call): void {
  const backup = opened(call);
  if (!backup) return;
  const known = call.world.providers.some(({ id }) => id === backup.provider);
  const { password, ...rest } = backup;
  call.answer(200, { ...rest, exported: '2026-11-01T12:00:00Z', has_password: password !== undefined, holds_present_key: known });
}

function restore(call: Call): void {
  const backup = opened(call);
  if (!backup) return;
  const { world, body, answer } = call;
  const known = world.providers.find(({ id }) => id === backup.provider);
  if (known) return answer(200, { provider: known, outcome: 'already-so', dry_run: false, unlocked: [] });
  const versions = backup.keys.map((id) => key(id, { state: 'current', backed_up: new Date().toISOString() }));
  const name = (body['name'] as string | undefined) ?? backup.name;
  const common = { default: false, created: new Date().toISOString(), tpm_required: false, vms: 0 };
  const provider: Provider = { ...common, id: backup.provider, name, kind: 'native', state: 'active', versions };
  world.add(provider);
  answer(200, { provider, outcome: 'created', dry_run: false, unlocked: ['web00050'] });
}

function certificate(subject: string, sha256: string): CertificateView {
  const [not_before, not_after] = ['2026-01-01T00:00:00Z', '2036-01-01T00:00:00Z'];
  return { subject, issuer: subject, names: [], not_before, not_after, sha256, pem: `-----BEGIN CERTIFICATE-----\n${subject}\n` };
}

/** The second server does not answer. */
function shown({ kms }: Provider): object[] {
  return (kms?.servers ?? []).map((server, place) =>
    place === 0 ? { server, certificate: certificate(`CN=${server}`, FINGERPRINTS[0]) } : { server, problem: 'connection refused' },
  );
}

function identity({ body, world, url, answer }: Call): void {
  if (typeof body === 'string' && body === 'csr') return answer(200, { csr: '-----BEGIN CERTIFICATE REQUEST-----\n' });
  const view = certificate('CN=cadenas', FINGERPRINTS[1]);
  const provider = world.providers.find(({ id }) => url.pathname.includes(id));
  if (provider?.kms) world.change(provider.id, { kms: { ...provider.kms, identity: view } });
  answer(200, { certificate: view });
}

function tested(server: string, ok: boolean): object {
  const steps = ok
    ? [
        { step: 'tcp', ok, detail: 'connected in 0.4 ms' },
        { step: 'tls', ok, detail: `TLSv1.3, certificate of CN=${server}` },
        { step: 'version', ok, detail: 'KMIP 1.4' },
        { step: 'operations', ok, detail: 'it has all that is needed' },
        { step: 'latency', ok, detail: 'an answer takes 0.9 ms' },
      ]
    : [{ step: 'tcp', ok, detail: 'connection refused' }];
  return { server, ok, steps };
}
