import { patternCovers } from '../../model/topic.js';

export interface PatternPorts {
  bind(pattern: string): Promise<void>;
  unbind(pattern: string): Promise<void>;
}

/**
 * The bindings of one queue, as few as will do: what another pattern covers needs none of its own, and gets one before that
 * other one goes.
 */
export class CoveredPatterns {
  readonly #ports: PatternPorts;
  readonly #wanted = new Set<string>();
  /** By pattern: resolves when the broker has it. */
  readonly #bound = new Map<string, Promise<void>>();
  /** Those that may cover others, each with what stands before its first wildcard. */
  readonly #wide = new Map<string, string>();
  readonly #unbinding = new Map<string, Promise<void>>();

  constructor(ports: PatternPorts) {
    this.#ports = ports;
  }

  async add(pattern: string): Promise<void> {
    this.#wanted.add(pattern);
    await this.#unbinding.get(pattern);
    const cover = this.#coverOf(pattern);
    if (cover === undefined) return this.#bind(pattern);
    await this.#bound.get(cover);
  }

  async remove(pattern: string): Promise<void> {
    this.#wanted.delete(pattern);
    const bound = this.#bound.get(pattern);
    if (!bound) return;
    this.#wide.delete(pattern);
    await bound.catch(() => {});
    const uncovered = isWide(pattern)
      ? [...this.#wanted].filter((one) => !this.#bound.has(one) && this.#coverOf(one) === undefined)
      : [];
    await Promise.all(uncovered.map((one) => this.#bind(one)));
    // Wanted again meanwhile: then it stays as it is.
    if (this.#wanted.has(pattern)) return this.#noteIfWide(pattern);
    this.#bound.delete(pattern);
    const unbinding = this.#ports.unbind(pattern).finally(() => this.#unbinding.delete(pattern));
    this.#unbinding.set(
      pattern,
      unbinding.catch(() => {}),
    );
    await unbinding;
  }

  #bind(pattern: string): Promise<void> {
    const bound = this.#bound.get(pattern);
    if (bound) return bound;
    const binding = this.#ports.bind(pattern);
    this.#bound.set(pattern, binding);
    this.#noteIfWide(pattern);
    binding.catch(() => {
      if (this.#bound.get(pattern) !== binding) return;
      this.#bound.delete(pattern);
      this.#wide.delete(pattern);
    });
    return binding;
  }

  #coverOf(pattern: string): string | undefined {
    // The prefix says no to nearly all; what it wrongly refuses costs a binding.
    for (const [wide, prefix] of this.#wide)
      if (wide !== pattern && pattern.startsWith(prefix) && patternCovers(wide, pattern)) return wide;
    return undefined;
  }

  #noteIfWide(pattern: string): void {
    if (isWide(pattern)) this.#wide.set(pattern, /^[^*#]*/.exec(pattern)![0]);
  }
}

function isWide(pattern: string): boolean {
  return pattern.includes('#') || pattern.includes('*');
}
