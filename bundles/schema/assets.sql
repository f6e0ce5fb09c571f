-- Zipline's asset database, version 7, as its own writer makes it.
CREATE TABLE exchanges (
    exchange TEXT NOT NULL,
    canonical_name TEXT NOT NULL,
    country_code TEXT NOT NULL,
    PRIMARY KEY (exchange),
    UNIQUE (exchange)
);
CREATE TABLE asset_router (
    sid BIGINT NOT NULL,
    asset_type TEXT,
    PRIMARY KEY (sid),
    UNIQUE (sid)
);
CREATE TABLE version_info (
    id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (id),
    CHECK (id <= 1),
    UNIQUE (id),
    UNIQUE (version)
);
CREATE TABLE equities (
    sid BIGINT NOT NULL,
    asset_name TEXT,
    start_date BIGINT NOT NULL,
    end_date BIGINT NOT NULL,
    first_traded BIGINT,
    auto_close_date BIGINT,
    exchange TEXT,
    PRIMARY KEY (sid),
    UNIQUE (sid),
    FOREIGN KEY(exchange) REFERENCES exchanges (exchange)
);
CREATE TABLE futures_root_symbols (
    root_symbol TEXT NOT NULL,
    root_symbol_id BIGINT,
    sector TEXT,
    description TEXT,
    exchange TEXT,
    PRIMARY KEY (root_symbol),
    UNIQUE (root_symbol),
    FOREIGN KEY(exchange) REFERENCES exchanges (exchange)
);
CREATE TABLE equity_symbol_mappings (
    id BIGINT NOT NULL,
    sid BIGINT NOT NULL,
    symbol TEXT NOT NULL,
    company_symbol TEXT,
    share_class_symbol TEXT,
    start_date BIGINT NOT NULL,
    end_date BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (id),
    FOREIGN KEY(sid) REFERENCES equities (sid)
);
CREATE TABLE equity_supplementary_mappings (
    sid BIGINT NOT NULL,
    field TEXT NOT NULL,
    start_date BIGINT NOT NULL,
    end_date BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (sid, field, start_date),
    FOREIGN KEY(sid) REFERENCES equities (sid)
);
CREATE TABLE futures_contracts (
    sid BIGINT NOT NULL,
    symbol TEXT,
    root_symbol TEXT,
    asset_name TEXT,
    start_date BIGINT NOT NULL,
    end_date BIGINT NOT NULL,
    first_traded BIGINT,
    exchange TEXT,
    notice_date BIGINT NOT NULL,
    expiration_date BIGINT NOT NULL,
    auto_close_date BIGINT NOT NULL,
    multiplier FLOAT,
    tick_size FLOAT,
    PRIMARY KEY (sid),
    UNIQUE (sid),
    FOREIGN KEY(root_symbol) REFERENCES futures_root_symbols (root_symbol),
    FOREIGN KEY(exchange) REFERENCES exchanges (exchange)
);
CREATE INDEX ix_equity_symbol_mappings_sid ON equity_symbol_mappings (sid);
CREATE INDEX ix_equity_symbol_mappings_company_symbol ON equity_symbol_mappings (company_symbol);
CREATE UNIQUE INDEX ix_futures_contracts_symbol ON futures_contracts (symbol);
CREATE INDEX ix_futures_contracts_root_symbol ON futures_contracts (root_symbol);
