-- A lane that met a fault stays closed, also when its pause is over, until a probe finds it well.
ALTER TABLE lanes
  ADD COLUMN probing boolean NOT NULL DEFAULT false,
  ADD COLUMN trips integer NOT NULL DEFAULT 0;
