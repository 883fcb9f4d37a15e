export const policies = {
  title: 'VM Storage Policies',
  text: 'A VM’s storage policy says whether its VM home and its disks are encrypted. Give a VM another one with Actions, VM Policies.',
  name: 'Name',
  encryption: 'VMs with it are',
  description: 'Description',
};
