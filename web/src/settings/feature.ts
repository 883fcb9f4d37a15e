import { answer, api } from '../api/client';
import type { Feature } from '../api/types';
import { language } from '../i18n/language.svelte';
import { toasts } from '../ui/toasts.svelte';

/** Switches a feature, and says so. */
export async function setFeature({ name }: Feature, body: { enabled: boolean; message?: string }): Promise<Feature> {
  const feature = await answer(api.PUT('/api/v1/features/{feature}', { params: { path: { feature: name } }, body }));
  const { known, switchedOn, switchedOff } = language.t.settings.features;
  toasts.say((feature.enabled ? switchedOn : switchedOff)(known[name]?.title ?? name));
  return feature;
}
