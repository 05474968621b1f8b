import { basename } from "node:path";

import { present, ShouldersError } from "../errors.js";
import { totalOf } from "../llama/buffers.js";
import {
  type Device,
  inMainMemory,
  mainMemory,
  type Measured,
  type MemoryByPlace,
  type Placement,
} from "../llama/types.js";
import type { ModelNeed } from "./model-needs.js";

/** Where every model goes: a function of the devices, of what the configs want, and of what each model would take. */

export interface Machine {
  devices: readonly Device[];
  /** Main memory that can be had now. */
  freeBytes: number;
  /** What this process may use of it at most. */
  limitBytes: number;
}

export type Measure = (need: ModelNeed, placement: Placement) => Measured;

export interface PlannedModel {
  need: ModelNeed;
  placement: Placement;
  memory: MemoryByPlace;
  /** Device to how many layers lie there. */
  layersByDevice: ReadonlyMap<string, number>;
}

/** A place that is asked for more than it has. */
export interface Overrun {
  place: string;
  neededBytes: number;
  freeBytes: number;
}

/** What automatic placement leaves of a device at most, for what drivers and other programs take later. */
const mostSpareBytes = 512 * 2 ** 20;
const spareShare = 1 / 16;

/**
 * Places models one after the other: first those whose layers are set, then the others from small to large, whole
 * where they fit. So the small models, whose latency counts at every token, get a device before the base, which
 * takes what is left by layers.
 *
 * @returns the plan, in the order of `needs`; `findOverruns` says whether it fits.
 * @throws ShouldersError `fusion_config_invalid`: a config wants what these devices cannot do.
 */
export function placeModels(needs: readonly ModelNeed[], machine: Machine, measure: Measure): PlannedModel[] {
  const weigh = (need: ModelNeed) => measure(need, basisOf(need)).memory.get(mainMemory)?.weights ?? 0;
  const isSet = ({ wishes }: ModelNeed) => (wishes.gpuLayers === "auto" ? 1 : 0);
  const order = [...needs].sort((a, b) => isSet(a) - isSet(b) || weigh(a) - weigh(b));
  const placed = new Map<ModelNeed, PlannedModel>();
  for (const need of order)
    placed.set(need, new Placer(need, machine, measure, [...placed.values()]).place());
  return needs.map((need) => present(placed.get(need), "place"));
}

/** Places a model in main memory, read as the config wants it. */
function basisOf({ wishes }: ModelNeed): Placement {
  const { mmap = true, mlock = false, metadata = {} } = wishes;
  return { ...inMainMemory, usesMmap: mmap, usesMlock: mlock, metadata };
}

/** Finds the place of one model beside those that have theirs. */
class Placer {
  readonly #need: ModelNeed;
  readonly #machine: Machine;
  readonly #measure: Measure;
  readonly #others: readonly PlannedModel[];

  constructor(need: ModelNeed, machine: Machine, measure: Measure, others: readonly PlannedModel[]) {
    this.#need = need;
    this.#machine = machine;
    this.#measure = measure;
    this.#others = others;
  }

  place(): PlannedModel {
    const { gpuLayers } = this.#need.wishes;
    const devices = wantedDevices(this.#need, this.#machine);
    const basis = this.#at(basisOf(this.#need));
    if (devices.length === 0 || gpuLayers === 0) return basis;
    const { numLayers } = this.#measure(this.#need, basis.placement);
    const whole = this.#spreads(devices, gpuLayers === "auto" ? numLayers : Math.min(gpuLayers, numLayers));
    const fitting = whole.find((placement) => this.#fits(placement));
    if (fitting) return this.#at(fitting);
    const broadest = present(whole.at(-1), "spread");
    if (gpuLayers !== "auto") return this.#at(broadest);
    const layers = largest(numLayers - 1, (count) => this.#fits({ ...broadest, gpuLayers: count }));
    return layers === 0 ? basis : this.#at({ ...broadest, gpuLayers: layers });
  }

  #at(placement: Placement): PlannedModel {
    const { memory, layersByDevice } = this.#measure(this.#need, placement);
    return { need: this.#need, placement, memory, layersByDevice };
  }

  #fits(placement: Placement): boolean {
    const plan = [...this.#others, this.#at(placement)];
    return findOverruns(plan, withSpare(this.#machine)).length === 0;
  }

  /** Ways to place so many layers, the best first: on the one device with most room, on another, on all. */
  #spreads(devices: readonly Device[], gpuLayers: number): Placement[] {
    const { wishes } = this.#need;
    const { rpc } = wishes;
    const basis = { ...basisOf(this.#need), gpuLayers };
    const names = devices.map(({ name }) => name);
    const splitMode = wishes.splitMode ?? "layer";
    const main = wishes.mainGpu === undefined ? names[0] : nameOf(wishes.mainGpu, this.#machine.devices);
    const mainGpu = names.findIndex((name) => name.toLowerCase() === main?.toLowerCase());
    const name = names[mainGpu];
    if (name === undefined) throw refused(this.#need, `mainGpu is none of its devices, ${names.join(", ")}`);
    if (splitMode === "none") return [{ ...basis, devices: [name] }];
    const room = devices.map((device) => Math.max(0, device.freeBytes - this.#usedOn(device.name)));
    const split =
      rpc?.split ?? wishes.split ?? (room.some((bytes) => bytes > 0) ? room.map(mebibytes) : null);
    const all: Placement = {
      ...basis,
      devices: names,
      splitMode,
      mainGpu,
      split: names.length > 1 ? split : null,
      // The last device has it, which may be one of this machine.
      keepsOutput: rpc?.keepOutputLocal === true && devices.at(-1)?.server !== undefined,
    };
    if (names.length === 1 || rpc || wishes.split || splitMode === "row" || Array.isArray(wishes.device))
      return [all];
    const byRoom = names
      .map((name, index) => ({ name, room: room[index] ?? 0 }))
      .sort((a, b) => b.room - a.room);
    return [...byRoom.map(({ name }) => ({ ...basis, devices: [name] })), all];
  }

  #usedOn(name: string): number {
    return usedIn(name, this.#others);
  }
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

/** @returns the largest count from 0 to `most` for which it holds, when it holds for all smaller ones. */
export function largest(most: number, holds: (count: number) => boolean): number {
  let [low, high] = [0, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function withSpare({ devices, ...machine }: Machine): Machine {
  const spare = ({ totalBytes }: Device) => Math.min(mostSpareBytes, totalBytes * spareShare);
  return {
    ...machine,
    devices: devices.map((device) => ({ ...device, freeBytes: device.freeBytes - spare(device) })),
  };
}

function usedIn(place: string, plan: readonly PlannedModel[]): number {
  let bytes = 0;
  for (const { memory } of plan) {
    const buffers = memory.get(place);
    if (buffers) bytes += totalOf(buffers);
  }
  return bytes;
}

/** Places of a plan that are asked for more than they have. Mapped weights need not be in memory all at once. */
export function findOverruns(plan: readonly PlannedModel[], machine: Machine, programBytes = 0): Overrun[] {
  const used = machine.devices.map((device) => ({ device, bytes: usedIn(device.name, plan) }));
  const overruns = used
    .filter(({ device, bytes }) => bytes > device.freeBytes && bytes > 0)
    .map(({ device, bytes }) => ({
      place: device.name,
      neededBytes: bytes,
      freeBytes: Math.max(0, device.freeBytes),
    }));
  const unified = used.filter(({ device }) => device.isUnified).reduce((sum, { bytes }) => sum + bytes, 0);
  const all = programBytes + unified + usedIn(mainMemory, plan);
  const mapped = plan
    .filter(({ placement }) => placement.usesMmap && !placement.usesMlock)
    .reduce((sum, { memory }) => sum + (memory.get(mainMemory)?.weights ?? 0), 0);
  if (all > machine.limitBytes)
    overruns.push({ place: mainMemory, neededBytes: all, freeBytes: machine.limitBytes });
  else if (all - mapped > machine.freeBytes)
    overruns.push({ place: mainMemory, neededBytes: all - mapped, freeBytes: machine.freeBytes });
  return overruns;
}

function nameOf(device: string | number, devices: readonly Device[]): string {
  return typeof device === "number" ? (devices[device]?.name ?? `number ${device}`) : device;
}

/** @returns the devices that a model may go to: those of its RPC servers, and of this machine those that its config names, or all. */
function wantedDevices(need: ModelNeed, machine: Machine): Device[] {
  const { device, splitMode, split, rpc } = need.wishes;
  const here = machine.devices.filter(({ server }) => server === undefined);
  const wanted = device === undefined ? here.map(({ name }) => name) : [device].flat();
  const found =
    wanted[0] === "none" && wanted.length === 1 ? [] : wanted.map((each) => findDevice(need, each, here));
  if (new Set(found).size < found.length) throw refused(need, "one device is named twice");
  if (split && split.length !== found.length)
    throw refused(need, `split has ${split.length} shares for ${found.length} devices`);
  const unable = found.find(({ splitsRows }) => !splitsRows);
  if (splitMode === "row" && (unable || found.length === 0))
    throw refused(
      need,
      `splitMode "row" is not there: ${unable ? `the backend of ${unable.name} has no split of rows` : "there is no device"}. Use "layer"`,
    );
  if (rpc === undefined) return found;
  const all = [
    ...rpc.servers.flatMap((server) => machine.devices.filter((each) => each.server === server)),
    ...found,
  ];
  if (rpc.split && rpc.split.length !== all.length)
    throw refused(
      need,
      `rpc.split has ${rpc.split.length} shares for ${all.length} devices: ${all.map(({ name }) => name).join(", ")}`,
    );
  return all;
}

function findDevice(need: ModelNeed, wanted: string | number, devices: readonly Device[]): Device {
  const name = nameOf(wanted, devices);
  const found = devices.find((device) => device.name.toLowerCase() === name.toLowerCase());
  if (found) return found;
  const known = devices.map((device) => `${device.name} (${device.description})`);
  throw refused(need, `there is no device ${name}; there are: ${known.join(", ") || "none"}`);
}

function refused({ path }: ModelNeed, reason: string): ShouldersError {
  return new ShouldersError("fusion_config_invalid", `Model ${basename(path)}: ${reason}.`);
}
