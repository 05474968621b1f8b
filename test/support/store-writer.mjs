import { Journal } from "../../dist/store/journal.js";
import { PostgresStore } from "../../dist/store/postgres-store.js";
import { SqliteStore } from "../../dist/store/sqlite-store.js";

// Writes until it is killed, several at a time, and says of each what it was told is safe.
const place = process.argv[2];
const journal = new Journal(
  place.startsWith("postgres:") ? new PostgresStore(place) : new SqliteStore(place),
);
for (let index = 0; ; index += 3)
  await Promise.all(
    [index, index + 1, index + 2].map(async (number) => {
      const entry = { at: Date.now(), owner: "ann", kind: "rating", topic: "both", key: String(number) };
      await journal.write([{ ...entry, body: JSON.stringify({ padding: "x".repeat(2000) }) }]);
      process.stdout.write(`${number}\n`);
    }),
  );
