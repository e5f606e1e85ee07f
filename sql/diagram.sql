-- What docs/schema.md is drawn from: PostgreSQL's own catalog.

-- name: tables()
SELECT c.relname, coalesce(obj_description(c.oid), ''), c.oid
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> 'schema_migration'
ORDER BY c.relname;

-- name: views()
SELECT c.relname, coalesce(obj_description(c.oid), ''), c.oid
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v'
ORDER BY c.relname;

-- name: columns(table_oid)
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       coalesce(col_description(a.attrelid, a.attnum), ''),
       EXISTS (SELECT FROM pg_index i
               WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY(i.indkey))
FROM pg_attribute a
WHERE a.attrelid = :table_oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: foreign_keys()
SELECT confrelid::regclass::text, conrelid::regclass::text
FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'public'::regnamespace
ORDER BY 1, 2;
