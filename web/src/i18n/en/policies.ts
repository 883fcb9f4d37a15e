export const policies = {
  title: 'VM Storage Policies',
  text: 'A VM’s storage policy says whether its VM home and its disks are encrypted. Give a VM another one with Actions, VM Policies.',
  name: 'Name',
  encryption: 'A VM with it is',
  description: 'Description',
  /** Of the policies that Cadenas has by itself. */
  builtIn: { encrypts: 'The VM’s configuration and disks are encrypted.', plain: 'The VM is not encrypted.' },
};
