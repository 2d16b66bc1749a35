// Cleaning up after a test, last made first: clients leave before their server is stopped.

const stacks = new WeakMap();

/** Runs `step` when `t` is over, before the steps that were given earlier. */
export function cleanup(t, step) {
  if (!stacks.has(t)) {
    const stack = [];
    stacks.set(t, stack);
    t.after(async () => {
      const failures = [];
      while (stack.length > 0) {
        try {
          await stack.pop()();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    });
  }
  stacks.get(t).push(step);
}
