// The words of a filter, as on the command line.

// parse turns proto=tcp rule="my rule" idle>30s into query parameters. What a key means,
// and whether there is one, the gateway knows.
export function parse(text) {
  const query = new URLSearchParams();
  for (const word of split(text)) {
    const idle = word.startsWith('idle>'), at = word.indexOf('=');
    if (!idle && at < 1) throw new Error(`“${word}”: a word is KEY=VALUE or idle>30s`);
    query.append(idle ? 'idleOver' : word.slice(0, at), word.slice(idle ? 'idle>'.length : at + 1));
  }
  return query;
}

// split at spaces, but not at those in quotes.
function split(text) {
  const words = [];
  let word = null, quote = '';
  for (const c of text) {
    if (quote ? c === quote : c === '"' || c === "'") {
      quote = quote ? '' : c;
      word ??= '';
    } else if (!quote && /\s/.test(c)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? '') + c;
    }
  }
  if (quote) throw new Error(`a quote is not closed: ${quote}`);
  if (word !== null) words.push(word);
  return words;
}

// words is the text that parse reads.
export function words(filter) {
  return Object.entries(filter).map(([key, value]) => `${key}=${quoted(value)}`).join(' ');
}

function quoted(value) {
  if (!/[\s"']/.test(value)) return value;
  if (!value.includes('"')) return `"${value}"`;
  return value.split('"').map((part) => `"${part}"`).join(`'"'`);
}
