import { mount } from 'svelte';

import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';
import App from './App.svelte';
import { signIn } from './api/session.svelte';
import { language } from './i18n/language.svelte';

language.follow();
void signIn.begin();
const target = document.getElementById('console');
if (target) mount(App, { target });
