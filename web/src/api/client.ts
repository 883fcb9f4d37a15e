import createClient from 'openapi-fetch';

import type { paths } from '../../generated/api';
import type { Problem } from './types';

/** A request that the server refused, or that did not reach it. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

/** Same origin: the page speaks to nobody else. */
export const api = createClient<paths>({ baseUrl: '', fetch: (request) => fetch(request) });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

let signedOut = (): void => {};

/** What is done when the server says that nobody is signed in. */
export function onSignedOut(act: () => void): void {
  signedOut = act;
}

/** The answer's data, or `Refused`. */
export async function answer<T>(request: Promise<Answer<T>>): Promise<T> {
  return (await withResponse(request)).data;
}

/** As `answer`, with the response, whose headers say what the data does not. */
export async function withResponse<T>(request: Promise<Answer<T>>): Promise<{ data: T; response: Response }> {
  const { data, error, response } = await request.catch(() => {
    throw new Refused(unreachable());
  });
  if (response.ok) return { data: data as T, response };
  const problem = isProblem(error) ? error : unreachable();
  if (problem.code === 'not-signed-in') signedOut();
  throw new Refused(problem);
}

/** The problem of something that failed. What is none of the server's is a defect of the console, and stays loud. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  throw error;
}

function isProblem(error: unknown): error is Problem {
  return typeof error === 'object' && error !== null && 'code' in error && 'detail' in error;
}

function unreachable(): Problem {
  return { type: 'about:blank', title: '', status: 0, code: 'unreachable', detail: '' };
}
