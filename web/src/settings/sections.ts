// What the Settings page consists of, in its order.
import type { Component } from 'svelte';

import type { Dictionary } from '../i18n/en';
import Appearance from './Appearance.svelte';
import Features from './Features.svelte';
import HostChecks from './HostChecks.svelte';
import SessionFacts from './SessionFacts.svelte';

interface Section {
  title: (t: Dictionary) => string;
  content: Component;
}

export const sections: Section[] = [
  { title: (t) => t.settings.sections.features, content: Features },
  { title: (t) => t.settings.sections.host, content: HostChecks },
  { title: (t) => t.settings.sections.session, content: SessionFacts },
  { title: (t) => t.settings.sections.appearance, content: Appearance },
];
