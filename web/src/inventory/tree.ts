// The inventory tree as a list of its visible nodes: the cluster, its host, the host's VMs.

export interface Opened {
  cluster: boolean;
  host: boolean;
}

export type Node = { kind: 'cluster' } | { kind: 'host' } | { kind: 'vm'; index: number };

export function nodeCount(opened: Opened, vms: number): number {
  if (!opened.cluster) return 1;
  return opened.host ? 2 + vms : 2;
}

/** The node in place `index`; the list is no longer than `nodeCount` says. */
export function nodeAt(index: number): Node {
  if (index === 0) return { kind: 'cluster' };
  return index === 1 ? { kind: 'host' } : { kind: 'vm', index: index - 2 };
}

/** The place of a node's parent; the cluster's is its own. */
export function parentOf(index: number): number {
  return nodeAt(index).kind === 'vm' ? 1 : 0;
}
