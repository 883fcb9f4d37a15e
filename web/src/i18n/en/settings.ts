interface FeatureText {
  title: string;
  text: string;
}

export const settings = {
  title: 'Settings',
  sections: { features: 'Features', host: 'This host', session: 'Session', appearance: 'Language and theme' },
  features: {
    on: 'On',
    off: 'Off',
    switchOn: 'Switch on',
    switchOff: 'Switch off…',
    editMessage: 'Edit the message…',
    told: 'Users are told',
    dialog: (feature: string) => `Switch off: ${feature}`,
    message: 'What users are told while it is off',
    messageHint: 'For example whom to ask. It is shown wherever the feature is refused. May be empty.',
    button: 'Switch off',
    save: 'Save the message',
    switchedOn: (feature: string) => `${feature}: on.`,
    switchedOff: (feature: string) => `${feature}: off.`,
    known: {
      'native-key-provider': {
        title: 'Native key providers',
        text: 'Lets native key providers be added and restored. Those that exist, and their VMs, go on as they are while it is off.',
      },
    } as Record<string, FeatureText>,
  },
  session: {
    user: 'Signed in as',
    host: 'Server on',
    expires: 'Ends at the latest',
    idle: 'It ends earlier when it is not used.',
  },
  language: 'Language',
  theme: 'Theme',
  themes: { system: 'As the system', light: 'Light', dark: 'Dark' },
  remembered: 'This browser remembers both.',
};
