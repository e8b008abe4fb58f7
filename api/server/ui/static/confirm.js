// A question before what can't be undone. Escape says no, and the browser puts the focus
// back to where it was.
import { $, write } from './dom.js';

const dialog = $('#confirm'), number = $('#confirm-n'), [no, yes] = dialog.querySelectorAll('button');

// settle answers the question that is open; each question has one answer.
let settle = () => {};

function answer(is) {
  if (dialog.open) dialog.close();
  settle(is);
}

no.addEventListener('click', () => answer(false)); // no submit button: Enter in the field must not press it
$('form', dialog).addEventListener('submit', (e) => {
  e.preventDefault();
  answer(true);
});
// The browser tells of Escape a frame later: by then the next question may be open.
dialog.addEventListener('close', () => { if (!dialog.open) settle(false); });

// confirm asks, and for a typed count if one is given. It resolves to whether to go on.
export function confirm(question, what, typed) {
  answer(false);
  write($('#confirm-h'), question);
  write($('#confirm-what'), what);
  const counted = typed !== undefined;
  $('#confirm-count').hidden = !counted;
  number.value = '';
  number.oninput = () => { yes.disabled = counted && number.value.trim() !== String(typed); };
  number.oninput();
  dialog.showModal();
  (counted ? number : no).focus();
  return new Promise((done) => { settle = done; });
}
