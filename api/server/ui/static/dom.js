// Elements and rows. Texts become text nodes: nothing here, or in any other script,
// makes HTML of a text.

// el makes an element. Properties that begin with "on" are listeners, the others are attributes.
export function el(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (value === true) e.setAttribute(name, '');
    else if (value !== false && value != null) e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

export const $ = (selector, within = document) => within.querySelector(selector);

// write changes a text only if it is another one, so that screen readers stay calm.
export function write(node, text, title = '') {
  if (node.textContent !== text) node.textContent = text;
  if (node.title !== title) node.title = title;
}

// mark gives an element one of several classes.
export function mark(node, name) {
  if (node.className !== name) node.className = name;
}

const rowsOf = new WeakMap();

// rows makes the children of parent those of items, by their key. make(item) returns
// { node, update(item) }; a node lives as long as its item is there, and keeps the focus.
export function rows(parent, items, key, make) {
  const before = rowsOf.get(parent) ?? new Map(), after = new Map();
  const focused = document.activeElement;
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = key(item);
    const row = before.get(k) ?? make(item);
    row.update(item);
    after.set(k, row);
    if (row.node === at) at = at.nextElementSibling;
    else parent.insertBefore(row.node, at);
  }
  for (const [k, row] of before) if (!after.has(k)) row.node.remove();
  rowsOf.set(parent, after);
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

// cells makes a table row: the first cell is its header. Classes are those of the cells.
export function cells(...classes) {
  const all = classes.map((c, i) => i === 0 ? el('th', { scope: 'row', class: c }) : el('td', { class: c }));
  return { node: el('tr', {}, ...all), all };
}

// brief returns the first of the items, until the button is pressed.
export function brief(button, limit) {
  let open = false, last = () => {};
  button.addEventListener('click', () => { open = !open; last(); });
  return (items, again) => {
    last = again;
    button.hidden = items.length <= limit;
    write(button, open ? 'Show fewer' : `Show all ${items.length}`);
    return open ? items : items.slice(0, limit);
  };
}

// say tells those who listen, not those who look.
export function say(text) { write($('#said'), text); }

// problem shows what is wrong with a panel, or that nothing is.
export function problem(section, text) {
  const line = $('.problem', section);
  write(line, text);
  line.hidden = text === '';
}
