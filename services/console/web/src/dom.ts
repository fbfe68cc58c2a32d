// Small helpers for the page: elements by id, text that is only written where it changed, and one
// frame for all that is to be drawn.

/** The page and its scripts are built together: an id that is not there is a mistake of ours. */
export function byId<T extends Element = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) {
    throw new Error(`no #${id} in the page`);
  }
  return element as unknown as T;
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  text = "",
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== "") {
    element.className = className;
  }
  if (text !== "") {
    element.textContent = text;
  }
  return element;
}

export function svg(tag: string, attributes: Record<string, string>): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  return element;
}

/** Makes the children of parent so many, of one kind: rows are reused, never made anew. */
export function pool<T extends Element>(parent: Element, count: number, create: () => T): T[] {
  while (parent.childElementCount > count) {
    parent.lastElementChild?.remove();
  }
  while (parent.childElementCount < count) {
    parent.append(create());
  }
  return [...parent.children] as T[];
}

interface Task {
  draw: (nowMs: number) => void;
  everyMs: number;
  nextMs: number;
  dirty: boolean;
}

/** Draws what is dirty in animation frames, each task no more often than it says. */
export class Frames {
  private readonly tasks = new Map<string, Task>();
  private asked = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  add(name: string, everyMs: number, draw: (nowMs: number) => void): void {
    this.tasks.set(name, { draw, everyMs, nextMs: 0, dirty: true });
    this.ask();
  }

  dirty(...names: string[]): void {
    for (const name of names) {
      const task = this.tasks.get(name);
      if (task !== undefined && !task.dirty) {
        task.dirty = true;
        this.ask();
      }
    }
  }

  private ask(): void {
    if (!this.asked) {
      this.asked = true;
      clearTimeout(this.timer);
      requestAnimationFrame(() => {
        this.frame();
      });
    }
  }

  private frame(): void {
    this.asked = false;
    const now = Date.now();
    let soonest = Infinity;
    for (const task of this.tasks.values()) {
      if (!task.dirty) {
        continue;
      }
      if (now >= task.nextMs) {
        task.dirty = false;
        task.nextMs = now + task.everyMs;
        try {
          task.draw(now);
        } catch (error) {
          console.error(error); // the other pictures go on
        }
      } else {
        soonest = Math.min(soonest, task.nextMs - now);
      }
    }
    if (soonest < Infinity) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        this.ask();
      }, soonest);
    }
  }
}
