import { styleText } from 'node:util';
import type { WriteStream } from 'node:tty';

/** The farm as it stands: what a screen shows. */
export interface View {
  readonly elapsedMs: number;
  readonly commits: number;
  readonly published: number;
  readonly scheduled: number;
  readonly built: number;
  readonly logLines: number;
  readonly queues: readonly {
    readonly name: string;
    readonly ownership: 'exclusive' | 'shared';
    readonly depth: number;
    readonly owner: string | undefined;
    readonly standbys: readonly string[];
  }[];
  readonly builders: readonly { readonly name: string; readonly builds: number; readonly isHere: boolean }[];
  /** Builds whose logs are followed at this moment. */
  readonly following: readonly string[];
}

export interface Screen {
  /** Something has happened: a line that stays. */
  note(text: string): void;
  /** The present state: on a terminal a block that is rewritten, elsewhere a line now and then. */
  show(view: View): void;
  /** Nothing is shown any more; what follows is printed below. */
  end(): void;
  print(text: string): void;
}

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan';

/** Colours where somebody sees them. */
export type Paint = (style: Style, text: string) => string;

export function painter(stream: NodeJS.WriteStream): Paint {
  const hasColours = stream.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  return hasColours ? (style, text) => styleText(style, text, { validateStream: false }) : (_, text) => text;
}

export function createScreen(stream: NodeJS.WriteStream): Screen {
  // Whoever reads may go away; the farm goes on.
  stream.on('error', () => {});
  return stream.isTTY && process.env.TERM !== 'dumb'
    ? new BlockScreen(stream, painter(stream))
    : new PlainScreen(stream);
}

/** Without a terminal: a line each second, and no escape sequence. */
class PlainScreen implements Screen {
  readonly #stream: NodeJS.WriteStream;
  readonly #rates = new Rates();
  #shownAt = -Infinity;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  note(text: string): void {
    this.print(`* ${printable(text)}`);
  }

  show(view: View): void {
    const rates = this.#rates.of(view);
    if (view.elapsedMs - this.#shownAt < 1_000) return;
    this.#shownAt = view.elapsedMs;
    const owners = view.queues
      .filter(({ name }) => name.startsWith('scheduler.'))
      .map(
        ({ name, owner, standbys }) =>
          `${name}: ${owner ?? 'nobody'} (standby ${standbys.join(' ') || 'none'})`,
      );
    this.print(
      `${seconds(view.elapsedMs)}  published ${view.published}/${view.commits}, scheduled ${view.scheduled}, ` +
        `built ${view.built} (${rates.builds}/s), ${view.logLines} log lines; ${owners.join(', ')}`,
    );
  }

  end(): void {}

  print(text: string): void {
    this.#stream.write(`${text}\n`);
  }
}

/** On a terminal: notes above, and below them one block that is rewritten. */
class BlockScreen implements Screen {
  readonly #stream: WriteStream;
  readonly #paint: Paint;
  readonly #rates = new Rates();
  #block: readonly string[] = [];
  #height = 0;

  constructor(stream: WriteStream, paint: Paint) {
    this.#stream = stream;
    this.#paint = paint;
  }

  note(text: string): void {
    this.#rewrite(`${this.#paint('yellow', '*')} ${printable(text)}\n`);
  }

  show(view: View): void {
    const rates = this.#rates.of(view);
    const paint = this.#paint;
    const lines = [
      `${bar(view.built / view.commits)} ${view.built}/${view.commits} built   ${seconds(view.elapsedMs)}`,
      `published ${view.published}   scheduled ${view.scheduled}   ${view.logLines} log lines`,
      `${rates.builds} builds/s   ${rates.lines} log lines/s`,
    ];
    for (const { name, ownership, depth, owner = 'nobody', standbys } of view.queues) {
      const who =
        ownership === 'shared'
          ? this.#sharers(view)
          : `owner ${paint('green', owner)}, standby ${standbys.join(' ') || 'none'}`;
      lines.push(`${paint('bold', name.padEnd(16))}${who}   ${depth} in the queue`);
    }
    const following = view.following.map((build) => `logs.${build}.#`).join(' ') || 'no log';
    lines.push(paint('dim', `following ${following}`));
    this.#block = lines;
    this.#rewrite('');
  }

  end(): void {
    this.#rewrite('');
    this.#block = [];
    this.#height = 0;
  }

  print(text: string): void {
    this.#stream.write(`${text}\n`);
  }

  #sharers({ builders }: View): string {
    return builders
      .map(({ name, builds, isHere }) => this.#paint(isHere ? 'green' : 'dim', `${name} ${builds}`))
      .join('  ');
  }

  #rewrite(above: string): void {
    const up = this.#height > 0 ? `\x1b[${this.#height}A` : '';
    // A line that the terminal would wrap would be two, and the next block would begin too low.
    const lines = this.#block.map((line) => clip(line, this.#stream.columns || 80));
    this.#height = lines.length;
    this.#stream.write(`${up}\r\x1b[J${above}${lines.map((line) => `${line}\n`).join('')}`);
  }
}

/** Of the last second. */
class Rates {
  #samples: View[] = [];

  of(view: View): { readonly builds: number; readonly lines: number } {
    this.#samples.push(view);
    while (this.#samples.length > 2 && view.elapsedMs - this.#samples[1]!.elapsedMs >= 1_000)
      this.#samples.shift();
    const first = this.#samples[0]!;
    const elapsed = Math.max(1, view.elapsedMs - first.elapsedMs) / 1_000;
    return {
      builds: Math.round((view.built - first.built) / elapsed),
      lines: Math.round((view.logLines - first.logLines) / elapsed),
    };
  }
}

const BAR_WIDTH = 30;

function bar(part: number): string {
  const full = Math.min(BAR_WIDTH, Math.round(part * BAR_WIDTH));
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}]`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

const ESCAPES = /\x1b\[[0-9;]*m/g;

/** To so many columns; a longer one loses its colours with its end. */
function clip(line: string, columns: number): string {
  const plain = line.replace(ESCAPES, '');
  return plain.length < columns ? line : plain.slice(0, Math.max(0, columns - 1));
}

/** Errors carry names from the repository, which may hold anything. */
function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ');
}
