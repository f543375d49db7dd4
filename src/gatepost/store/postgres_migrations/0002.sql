-- oldest: 2
-- Mail that waits for a key.  Bodies are bound to their envelope from here on, which programs
-- that know schema 1 alone cannot open: none was ever released.
CREATE INDEX item_waiting ON item (due, number) WHERE state = 'waiting' AND holder IS NULL;
