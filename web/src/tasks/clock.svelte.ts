/** The time, moving on each second while `runs` says so and the component is there. */
export class Clock {
  now = $state(Date.now());

  constructor(runs: () => boolean) {
    $effect(() => {
      if (!runs()) return;
      const timer = setInterval(() => (this.now = Date.now()), 1_000);
      return () => clearInterval(timer);
    });
  }
}
