// Where key providers have their page.

export const PROVIDERS = '/cluster/key-providers';

export function providerPath(id: string): string {
  return `${PROVIDERS}/${id}`;
}
