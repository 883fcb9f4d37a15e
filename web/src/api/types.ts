// The API's own types, by the names that the server gives them.
import type { components } from '../../generated/api';

type Schemas = components['schemas'];

export type Attention = Schemas['Attention'];
export type AttentionKind = Schemas['AttentionKind'];
export type BackupReport = Schemas['BackupReport'];
export type BulkFailure = Schemas['BulkFailure'];
export type BulkOutcome = Schemas['BulkOutcome'];
export type CadenasEvent = Schemas['Event'];
export type CertificateView = Schemas['CertificateView'];
export type Check = Schemas['Check'];
export type Disk = Schemas['Disk'];
export type DiskMethod = Schemas['DiskMethod'];
export type Feature = Schemas['Feature'];
export type KeyAlarm = Schemas['KeyAlarm'];
export type KeyVersion = Schemas['KeyVersion'];
export type KeyVersionState = Schemas['KeyVersionState'];
export type KmsIdentity = Schemas['KmsIdentity'];
export type KmsKeyState = Schemas['KmsKeyState'];
export type KmsServerTest = Schemas['KmsServerTest'];
export type MissingKey = Schemas['MissingKey'];
export type Operation = Schemas['ActionKind'];
export type Padlock = Schemas['Padlock'];
export type PlannedStep = Schemas['PlannedStep'];
export type PlannedVm = Schemas['PlannedVm'];
export type Policy = Schemas['Policy'];
export type PowerState = Schemas['PowerState'];
export type Provider = Schemas['Provider'];
export type ProviderKind = Schemas['ProviderKind'];
export type ProviderRef = Schemas['ProviderRef'];
export type ProviderState = Schemas['ProviderState'];
export type ProviderUser = Schemas['ProviderUser'];
export type RecryptAll = Schemas['RecryptAll'];
export type RecryptKind = Schemas['RecryptKind'];
export type RecryptPlan = Schemas['RecryptPlan'];
export type Restored = Schemas['Restored'];
export type RestoreResult = Schemas['RestoreResult'];
export type Session = Schemas['Session'];
export type SetKmsIdentity = Schemas['SetKmsIdentity'];
export type SetPolicy = Schemas['SetPolicy'];
export type Severity = Schemas['Severity'];
export type ShownCertificate = Schemas['ShownCertificate'];
export type Summary = Schemas['Summary'];
export type Task = Schemas['Task'];
export type TaskState = Schemas['TaskState'];
export type UserKind = Schemas['UserKind'];
export type Verdict = Schemas['Verdict'];
export type Vm = Schemas['Vm'];
export type VmAction = Schemas['VmAction'];
export type Wipe = Schemas['Wipe'];

/** `unreachable` is the console's own: the server did not answer. */
export type ProblemCode = Schemas['ProblemCode'] | 'unreachable';

/** Why a request was refused or a task failed. */
export type Problem = Omit<Schemas['Problem'], 'code'> & { code: ProblemCode };
