import { SqliteStore } from "../../dist/store/sqlite-store.js";

// Writes until it is killed, several at a time, and says of each what it was told is safe.
const store = new SqliteStore(process.argv[2]);
for (let index = 0; ; index += 3)
  await Promise.all(
    [index, index + 1, index + 2].map(async (number) => {
      const place = { at: Date.now(), owner: "ann", kind: "rating", topic: "both", key: String(number) };
      await store.append([{ ...place, body: JSON.stringify({ padding: "x".repeat(2000) }) }]);
      process.stdout.write(`${number}\n`);
    }),
  );
