import { Counter, Gauge, Histogram, Registry, Summary } from "prom-client";

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80];

/** Makes metrics in a registry. Their names begin with `shoulders_`. */
export class Meters {
  readonly registry: Registry;

  constructor(registry = new Registry()) {
    this.registry = registry;
  }

  counter<Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
  ): Counter<Label> {
    return new Counter({ name: `shoulders_${name}`, help, labelNames, registers: [this.registry] });
  }

  histogram<Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
    buckets: number[] = latencyBuckets,
  ): Histogram<Label> {
    return new Histogram({
      name: `shoulders_${name}`,
      help,
      labelNames,
      buckets,
      registers: [this.registry],
    });
  }

  /** Sum and count. */
  summary<Label extends string>(name: string, help: string, labelNames: Label[]): Summary<Label> {
    return new Summary({
      name: `shoulders_${name}`,
      help,
      labelNames,
      percentiles: [],
      registers: [this.registry],
    });
  }

  gauge(name: string, help: string, read: (gauge: Gauge) => void, labelNames: string[] = []): void {
    new Gauge({
      name: `shoulders_${name}`,
      help,
      labelNames,
      registers: [this.registry],
      collect() {
        this.reset();
        read(this);
      },
    });
  }
}
