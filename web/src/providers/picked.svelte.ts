// A backup file that somebody picked, and whether a password protects it.
import { answer, api, problemOf } from '../api/client';
import type { BackupReport, Problem } from '../api/types';
import { inBase64 } from './files';

export class PickedBackup {
  password = $state('');
  /** Whether it has a password. */
  locked = $state(false);
  /** What it holds; not known of one with a password. */
  report = $state.raw<BackupReport>();
  problem = $state.raw<Problem>();
  #p12 = $state.raw<string>();

  get ready(): boolean {
    return this.#p12 !== undefined && (!this.locked || this.password !== '');
  }

  get body(): { p12: string; password?: string } {
    return { p12: this.#p12 ?? '', ...(this.locked && { password: this.password }) };
  }

  /** `password` if it is known already. */
  async pick(file: File | undefined, password?: string): Promise<void> {
    this.forget();
    if (!file) return;
    this.#p12 = await inBase64(file);
    if (password === undefined) await this.#look(this.#p12);
    else [this.locked, this.password] = [true, password];
  }

  forget(): void {
    [this.password, this.locked] = ['', false];
    [this.report, this.problem, this.#p12] = [undefined, undefined, undefined];
  }

  async #look(p12: string): Promise<void> {
    try {
      this.report = await answer(api.POST('/api/v1/providers:verify-backup', { body: { p12 } }));
    } catch (error) {
      const problem = problemOf(error);
      this.locked = problem.code === 'password-needed';
      if (!this.locked) this.problem = problem;
    }
  }
}
