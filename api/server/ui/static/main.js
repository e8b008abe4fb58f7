// The dashboard: one script for each part of the page, each of which asks for itself.
import { asked, tryToken } from './ask.js';
import * as backends from './backends.js';
import { $, problem } from './dom.js';
import * as events from './events.js';
import * as flows from './flows.js';
import * as idle from './idle.js';
import { pause } from './poll.js';
import * as ports from './ports.js';
import * as status from './status.js';

asked.addEventListener('unauthorized', () => {
  $('#token').hidden = false;
  $('#token-text').focus();
});

$('#token').addEventListener('submit', async (e) => {
  e.preventDefault();
  const refused = await tryToken($('#token-text').value.trim());
  problem($('#token'), refused);
  if (refused) return;
  $('#token-text').value = '';
  $('#token').hidden = true;
  $('#main').focus();
});

$('#pause').addEventListener('click', (e) => {
  const on = e.target.getAttribute('aria-pressed') !== 'true';
  e.target.setAttribute('aria-pressed', on);
  pause(on);
});

for (const part of [flows, status, ports, idle, backends, events]) part.start();
