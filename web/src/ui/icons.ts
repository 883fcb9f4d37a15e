// Clarity's icons that the console uses; each import bundles one shape.
import { angleIcon } from '@cds/core/icon/shapes/angle.js';
import { barsIcon } from '@cds/core/icon/shapes/bars.js';
import { checkCircleIcon } from '@cds/core/icon/shapes/check-circle.js';
import { clusterIcon } from '@cds/core/icon/shapes/cluster.js';
import { cogIcon } from '@cds/core/icon/shapes/cog.js';
import { ellipsisVerticalIcon } from '@cds/core/icon/shapes/ellipsis-vertical.js';
import { errorStandardIcon } from '@cds/core/icon/shapes/error-standard.js';
import { eventIcon } from '@cds/core/icon/shapes/event.js';
import { exclamationTriangleIcon } from '@cds/core/icon/shapes/exclamation-triangle.js';
import { hardDiskIcon } from '@cds/core/icon/shapes/hard-disk.js';
import { homeIcon } from '@cds/core/icon/shapes/home.js';
import { hostIcon } from '@cds/core/icon/shapes/host.js';
import { infoCircleIcon } from '@cds/core/icon/shapes/info-circle.js';
import { lockIcon } from '@cds/core/icon/shapes/lock.js';
import { logoutIcon } from '@cds/core/icon/shapes/logout.js';
import { moonIcon } from '@cds/core/icon/shapes/moon.js';
import { pauseIcon } from '@cds/core/icon/shapes/pause.js';
import { playIcon } from '@cds/core/icon/shapes/play.js';
import { powerIcon } from '@cds/core/icon/shapes/power.js';
import { searchIcon } from '@cds/core/icon/shapes/search.js';
import { shieldCheckIcon } from '@cds/core/icon/shapes/shield-check.js';
import { sunIcon } from '@cds/core/icon/shapes/sun.js';
import { tasksIcon } from '@cds/core/icon/shapes/tasks.js';
import { timesIcon } from '@cds/core/icon/shapes/times.js';
import { twoWayArrowsIcon } from '@cds/core/icon/shapes/two-way-arrows.js';
import { vmIcon } from '@cds/core/icon/shapes/vm.js';

const shapes = {
  angle: angleIcon,
  bars: barsIcon,
  'check-circle': checkCircleIcon,
  cluster: clusterIcon,
  ellipsis: ellipsisVerticalIcon,
  error: errorStandardIcon,
  warning: exclamationTriangleIcon,
  disk: hardDiskIcon,
  event: eventIcon,
  home: homeIcon,
  host: hostIcon,
  info: infoCircleIcon,
  lock: lockIcon,
  migrate: twoWayArrowsIcon,
  logout: logoutIcon,
  moon: moonIcon,
  pause: pauseIcon,
  play: playIcon,
  power: powerIcon,
  search: searchIcon,
  settings: cogIcon,
  policy: shieldCheckIcon,
  sun: sunIcon,
  tasks: tasksIcon,
  times: timesIcon,
  vm: vmIcon,
};

export type IconName = keyof typeof shapes;

/** The inside of an SVG whose view box is 36 by 36. */
export function shape(name: IconName, solid: boolean): string {
  const [, drawn] = shapes[name];
  if (typeof drawn === 'string') return drawn;
  return (solid ? drawn.solid : undefined) ?? drawn.outline ?? '';
}
