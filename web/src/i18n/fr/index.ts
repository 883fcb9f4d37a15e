// Every text in French, in the words of vSphere’s French client.
import { checks } from './checks';
import { common } from './common';
import { dashboard } from './dashboard';
import { events } from './events';
import { inventory } from './inventory';
import { migration } from './migration';
import { operations } from './operations';
import { policies } from './policies';
import { problems } from './problems';
import { providers } from './providers';
import { settings } from './settings';
import { shell } from './shell';
import { tasks } from './tasks';
import { vm } from './vm';

import type { Dictionary } from '../en';

export const fr: Dictionary = { checks, common, dashboard, events, inventory, migration, operations, policies, problems, providers, settings, shell, tasks, vm };

