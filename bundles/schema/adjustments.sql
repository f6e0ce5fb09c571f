-- Zipline's adjustment database, as its own writer makes it.
CREATE TABLE "splits" (
"index" INTEGER,
  "sid" INTEGER,
  "effective_date" INTEGER,
  "ratio" REAL
);
CREATE TABLE "dividends" (
"index" INTEGER,
  "sid" INTEGER,
  "effective_date" INTEGER,
  "ratio" REAL
);
CREATE TABLE "mergers" (
"index" INTEGER,
  "sid" INTEGER,
  "effective_date" INTEGER,
  "ratio" REAL
);
CREATE TABLE "dividend_payouts" (
"index" TEXT,
  "sid" TEXT,
  "ex_date" TEXT,
  "declared_date" TEXT,
  "record_date" TEXT,
  "pay_date" TEXT,
  "amount" TEXT
);
CREATE TABLE "stock_dividend_payouts" (
"index" TEXT,
  "sid" TEXT,
  "ex_date" TEXT,
  "declared_date" TEXT,
  "record_date" TEXT,
  "pay_date" TEXT,
  "payment_sid" TEXT,
  "ratio" TEXT
);
CREATE INDEX "ix_splits_index"ON "splits" ("index");
CREATE INDEX "ix_dividends_index"ON "dividends" ("index");
CREATE INDEX "ix_mergers_index"ON "mergers" ("index");
CREATE INDEX "ix_dividend_payouts_index"ON "dividend_payouts" ("index");
CREATE INDEX "ix_stock_dividend_payouts_index"ON "stock_dividend_payouts" ("index");
CREATE INDEX splits_sids ON splits(sid);
CREATE INDEX splits_effective_date ON splits(effective_date);
CREATE INDEX mergers_sids ON mergers(sid);
CREATE INDEX mergers_effective_date ON mergers(effective_date);
CREATE INDEX dividends_sid ON dividends(sid);
CREATE INDEX dividends_effective_date ON dividends(effective_date);
CREATE INDEX dividend_payouts_sid ON dividend_payouts(sid);
CREATE INDEX dividends_payouts_ex_date ON dividend_payouts(ex_date);
CREATE INDEX stock_dividend_payouts_sid ON stock_dividend_payouts(sid);
CREATE INDEX stock_dividends_payouts_ex_date ON stock_dividend_payouts(ex_date);
