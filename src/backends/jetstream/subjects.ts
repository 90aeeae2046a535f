/**
 * A topic as a subject: its words, and a last word that no wildcard of a filter can do without. With it `a.>` matches what
 * `a.#` does, `a` itself included.
 */
export const END = '~';

/** What NATS would not take inside a word. The canonical form of a topic has escaped all else, and neither of these. */
export function escapeWords(topic: string): string {
  return /[ >]/.test(topic) ? topic.replaceAll(' ', '%20').replaceAll('>', '%3E') : topic;
}

export function subjectOf(prefix: string, topic: string): string {
  return `${prefix}${escapeWords(topic)}.${END}`;
}

/** The topic of a subject, whoever published it. */
export function topicOf(prefix: string, subject: string): string {
  const end = subject.endsWith(`.${END}`) ? -END.length - 1 : undefined;
  const words = subject.slice(prefix.length, end);
  return words.includes('%') ? words.replaceAll('%20', ' ').replaceAll('%3E', '>') : words;
}
