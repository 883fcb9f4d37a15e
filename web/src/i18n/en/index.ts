// Every text in English. The type of this object is what the other languages must have too.
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

export const en = { checks, common, dashboard, events, inventory, migration, operations, policies, problems, providers, settings, shell, tasks, vm };

export type Dictionary = typeof en;
