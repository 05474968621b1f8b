import koffi from "koffi";

/** A function of libllama's own, in every version of it. */
const ownFunction = "llama_decode";

/** @returns the path of the shared object that defines a function which is found through `path`; null: none does. */
export type FindDefinition = (path: string, functionName: string) => string | null;

/**
 * Finds the shared objects of this process that are a libllama: they define its functions, whatever they are
 * called. An object that only depends on one (libllama-common, node-llama-cpp's addon) finds them too, and does not
 * count.
 */
export function librariesAmong(
  paths: readonly string[],
  findDefinition: FindDefinition = definitionFinder(),
): string[] {
  const found = paths.map((path) => findDefinition(path, ownFunction)).filter((path) => path !== null);
  return [...new Set(found)];
}

/** Every shared object that is mapped into this process. */
export function listSharedObjects(): string[] {
  // Without this the report looks up network names, which can take seconds.
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  const found = (report.getReport() as { sharedObjects?: string[] }).sharedObjects;
  report.excludeNetwork = before;
  return found ?? [];
}

/**
 * Asks the system's own loader. `dlsym` also looks into what an object depends on, so `dladdr` says whose the function
 * is; Windows' `GetProcAddress` looks into the one module only.
 */
function definitionFinder(): FindDefinition {
  const whose = process.platform === "win32" ? null : bindDladdr();
  return (path, functionName) => {
    let library;
    try {
      // All of these are loaded already: this only counts one more user of them.
      library = koffi.load(path);
    } catch {
      // The program itself and what the kernel maps (linux-vdso) are listed too and cannot be opened.
      return null;
    }
    try {
      const address = koffi.address(library.symbol(functionName));
      return whose === null ? path : whose(address);
    } catch {
      return null;
    } finally {
      library.unload();
    }
  };
}

/** `Dl_info` of dlfcn.h. */
const definitionType = koffi.struct({
  dli_fname: "const char *",
  dli_fbase: "void *",
  dli_sname: "const char *",
  dli_saddr: "void *",
});

function bindDladdr(): (address: bigint) => string | null {
  const dladdr = koffi
    .load(null)
    .func("dladdr", "int", ["void *", koffi.out(koffi.pointer(definitionType))]) as (
    address: bigint,
    out: { dli_fname?: string },
  ) => number;
  return (address) => {
    const out: { dli_fname?: string } = {};
    return dladdr(address, out) === 0 ? null : (out.dli_fname ?? null);
  };
}
