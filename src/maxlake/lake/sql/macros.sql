-- ODPS's functions where DuckDB's differ or have other names (called by protocol/sql/functions.py).
-- Instants: a datetime is TIMESTAMP_MS, a timestamp TIMESTAMP_NS; text is read as a datetime in UTC.

-- numbers
CREATE MACRO odps_sqrt(x) AS CASE WHEN x::DOUBLE >= 0 THEN sqrt(x::DOUBLE) END;
CREATE MACRO odps_ceil(x) AS TRY_CAST(ceil(x) AS BIGINT);
CREATE MACRO odps_floor(x) AS TRY_CAST(floor(x) AS BIGINT);
CREATE MACRO odps_bin(x) AS bin(x::BIGINT);
CREATE MACRO odps_hex(x) AS hex(x);
CREATE MACRO odps_unhex(x) AS unhex(x);
CREATE MACRO odps_round(x) AS round(x), (x, places) AS round(x, places::INTEGER);
CREATE MACRO odps_trunc(x) AS trunc(x), (x, places) AS trunc(x * pow(10, places)) / pow(10, places);
CREATE MACRO odps_rand() AS random(), (seed) AS random();
CREATE MACRO odps_pow(x, y) AS pow(x::DOUBLE, y::DOUBLE);
CREATE MACRO odps_pmod(x, y) AS CASE WHEN y <> 0 THEN ((x % y) + y) % y END;
CREATE MACRO odps_mod(x, y) AS CASE WHEN y <> 0 THEN x % y END;
CREATE MACRO odps_shiftleft(x, n) AS x << n;
CREATE MACRO odps_shiftright(x, n) AS x >> n;
CREATE MACRO odps_log(x) AS ln(x::DOUBLE), (base, x) AS ln(x::DOUBLE) / ln(base::DOUBLE);

-- conversions: text that is no number is NULL, fractions are cut off
CREATE MACRO odps_whole(x) AS CASE
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN trunc(TRY_CAST(x AS DOUBLE))::DECIMAL(38, 0)
    WHEN typeof(x) LIKE 'DECIMAL%' THEN trunc(TRY_CAST(x AS DECIMAL(38, 18)))::DECIMAL(38, 0)
    WHEN typeof(x) = 'VARCHAR' AND NOT regexp_full_match(x::VARCHAR, '\s*[+-]?[0-9]+\s*')
        THEN TRY_CAST(trunc(TRY_CAST(x::VARCHAR AS DOUBLE)) AS DECIMAL(38, 0))
    ELSE TRY_CAST(x AS DECIMAL(38, 0))
END;
CREATE MACRO odps_text(x) AS x::VARCHAR;
CREATE MACRO odps_instant(x) AS TRY_CAST(x AS TIMESTAMP);
CREATE MACRO odps_date(x) AS TRY_CAST(odps_instant(x) AS DATE);

-- text; places count from 1, or from the end if negative
CREATE MACRO odps_lower(x) AS lower(x::VARCHAR);
CREATE MACRO odps_upper(x) AS upper(x::VARCHAR);
CREATE MACRO odps_length(x) AS length(x::VARCHAR);
CREATE MACRO odps_lengthb(x) AS strlen(x::VARCHAR)::BIGINT;
CREATE MACRO odps_reverse(x) AS reverse(x::VARCHAR);
CREATE MACRO odps_initcap(x) AS list_aggregate(list_transform(
    string_split(lower(x::VARCHAR), ' '), lambda w: upper(w[1]) || w[2:]), 'string_agg', ' ');
CREATE MACRO odps_md5(x) AS md5(x::VARCHAR);
CREATE MACRO odps_sha1(x) AS sha1(x::VARCHAR);
CREATE MACRO odps_sha(x) AS sha1(x::VARCHAR);
CREATE MACRO odps_sha2(x, bits) AS CASE WHEN bits IN (0, 256) THEN sha256(x::VARCHAR) END;
CREATE MACRO odps_base64(x) AS base64(x::BLOB);
CREATE MACRO odps_unbase64(x) AS from_base64(x);
CREATE MACRO odps_url_encode(x) AS url_encode(x);
CREATE MACRO odps_url_decode(x) AS url_decode(x);
CREATE MACRO odps_ascii(x) AS ascii(x::VARCHAR)::BIGINT;
CREATE MACRO odps_chr(n) AS chr(n::INTEGER);
CREATE MACRO odps_char(n) AS chr(n::INTEGER);
CREATE MACRO odps_trim(x) AS trim(x::VARCHAR), (x, chars) AS trim(x::VARCHAR, chars);
CREATE MACRO odps_ltrim(x) AS ltrim(x::VARCHAR), (x, chars) AS ltrim(x::VARCHAR, chars);
CREATE MACRO odps_rtrim(x) AS rtrim(x::VARCHAR), (x, chars) AS rtrim(x::VARCHAR, chars);
CREATE MACRO odps_from(x, place) AS
    CASE WHEN place < 0 THEN length(x) + place + 1 WHEN place = 0 THEN 1 ELSE place END;
CREATE MACRO odps_substr(x, place) AS
    CASE WHEN odps_from(x::VARCHAR, place) < 1 THEN '' ELSE substring(x::VARCHAR, odps_from(x::VARCHAR, place)) END,
(x, place, size) AS
    CASE WHEN size IS NULL OR x IS NULL THEN NULL
         WHEN odps_from(x::VARCHAR, place) < 1 OR size < 1 THEN ''
         ELSE substring(x::VARCHAR, odps_from(x::VARCHAR, place), size) END;
CREATE MACRO odps_found_from(x, part, place) AS
    CASE WHEN strpos(substring(x, place), part) = 0 THEN 0 ELSE strpos(substring(x, place), part) + place - 1 END;
CREATE MACRO odps_instr(x, part) AS strpos(x::VARCHAR, part),
(x, part, place) AS odps_found_from(x::VARCHAR, part, place),
(x, part, place, nth) AS
    CASE WHEN nth = 1 THEN odps_found_from(x::VARCHAR, part, place)
         WHEN len(string_split(substring(x::VARCHAR, place), part)) <= nth THEN 0
         ELSE place + length(array_to_string(string_split(substring(x::VARCHAR, place), part)[1:nth], part)) END;
CREATE MACRO odps_locate(part, x) AS strpos(x::VARCHAR, part),
(part, x, place) AS odps_found_from(x::VARCHAR, part, place);
CREATE MACRO odps_replace(x, old, new) AS replace(x::VARCHAR, old, new);
CREATE MACRO odps_translate(x, old, new) AS translate(x::VARCHAR, old, new);
CREATE MACRO odps_split_part(x, separator, n) AS split_part(x::VARCHAR, separator, n::BIGINT);
CREATE MACRO odps_substring_index(x, separator, n) AS
    CASE WHEN n > 0 THEN array_to_string(string_split(x::VARCHAR, separator)[1:n], separator)
         WHEN n < 0 THEN array_to_string(string_split(x::VARCHAR, separator)[n:], separator) ELSE '' END;
CREATE MACRO odps_regexp_replace(x, pattern, new) AS regexp_replace(x::VARCHAR, pattern, new, 'g');
CREATE MACRO odps_regexp_extract(x, pattern) AS regexp_extract(x::VARCHAR, pattern, 1),
(x, pattern, nth) AS regexp_extract(x::VARCHAR, pattern, nth);
CREATE MACRO odps_regexp_count(x, pattern) AS len(regexp_extract_all(x::VARCHAR, pattern))::BIGINT;
-- A text of the largest size a value may have (limits.MAX_FIELD_SIZE) is as much as one call makes of nothing.
CREATE MACRO odps_length_made(n) AS
    CASE WHEN n > 8388608 THEN error('a text of more than 8388608 characters was to be made') ELSE n END;
CREATE MACRO odps_lpad(x, size, padding) AS lpad(x::VARCHAR, odps_length_made(size)::INTEGER, padding);
CREATE MACRO odps_rpad(x, size, padding) AS rpad(x::VARCHAR, odps_length_made(size)::INTEGER, padding);
CREATE MACRO odps_repeat(x, n) AS
    repeat(x::VARCHAR, CASE WHEN odps_length_made(n * length(x::VARCHAR)) >= 0 THEN n::BIGINT END);
CREATE MACRO odps_space(n) AS odps_repeat(' ', n);
CREATE MACRO odps_find_in_set(x, list) AS coalesce(list_position(string_split(list, ','), x::VARCHAR), 0)::BIGINT;
CREATE MACRO odps_startswith(x, part) AS starts_with(x::VARCHAR, part);
CREATE MACRO odps_endswith(x, part) AS ends_with(x::VARCHAR, part);
CREATE MACRO odps_split(x, pattern) AS string_split_regex(x::VARCHAR, pattern);
CREATE MACRO odps_get_json_object(x, path) AS json_extract_string(TRY_CAST(x AS JSON), path);
CREATE MACRO odps_keyvalue_of(x, outer_split, inner_split, key) AS list_extract(list_transform(list_filter(
    string_split(x::VARCHAR, outer_split), lambda p: split_part(p, inner_split, 1) = key),
    lambda p: split_part(p, inner_split, 2)), 1);
CREATE MACRO odps_keyvalue(x, key) AS odps_keyvalue_of(x, ';', ':', key),
(x, outer_split, inner_split, key) AS odps_keyvalue_of(x, outer_split, inner_split, key);
CREATE MACRO odps_concat_ws(separator, parts) AS array_to_string(flatten([[p] for p in parts]), separator);

-- dates; a function of a date gives a date, of text a text
CREATE MACRO odps_years(n) AS to_years(n::INTEGER);
CREATE MACRO odps_months(n) AS to_months(n::INTEGER);
CREATE MACRO odps_days(n) AS to_days(n::INTEGER);
CREATE MACRO odps_hours(n) AS to_hours(n::BIGINT);
CREATE MACRO odps_minutes(n) AS to_minutes(n::BIGINT);
CREATE MACRO odps_seconds(n) AS to_seconds(n::BIGINT);
CREATE MACRO odps_milliseconds(n) AS to_milliseconds(n::DOUBLE);
CREATE MACRO odps_microseconds(n) AS to_microseconds(n::BIGINT);
CREATE MACRO odps_add_days(x, i) AS cast_to_type(odps_instant(x) + i, x);
CREATE MACRO odps_add_time(x, i) AS (odps_instant(x) + i)::TIMESTAMP_MS;
CREATE MACRO odps_datediff(unit, one, other) AS date_diff(unit, odps_instant(other), odps_instant(one));
CREATE MACRO odps_datetrunc(unit, x) AS cast_to_type(date_trunc(unit, odps_instant(x)), x);
CREATE MACRO odps_datepart(unit, x) AS date_part(unit, odps_instant(x));
CREATE MACRO odps_format_time(x, format) AS strftime(odps_instant(x), format);
CREATE MACRO odps_parse_time(x, format) AS try_strptime(x::VARCHAR, format)::TIMESTAMP_MS;
CREATE MACRO odps_from_unixtime(n) AS make_timestamp(n::BIGINT * 1000000)::TIMESTAMP_MS;
CREATE MACRO odps_unix_timestamp() AS epoch_ms(current_timestamp) // 1000, (x) AS epoch_us(odps_instant(x)) // 1000000;
CREATE MACRO odps_to_millis(x) AS epoch_ms(odps_instant(x));
CREATE MACRO odps_getdate() AS epoch_ms(epoch_ms(current_timestamp))::TIMESTAMP_MS;
CREATE MACRO odps_now() AS epoch_ms(epoch_ms(current_timestamp))::TIMESTAMP_NS;
CREATE MACRO odps_current_timestamp() AS epoch_ms(epoch_ms(current_timestamp))::TIMESTAMP_NS;
CREATE MACRO odps_localtimestamp() AS epoch_ms(epoch_ms(current_timestamp))::TIMESTAMP_NS;
CREATE MACRO odps_current_date() AS epoch_ms(epoch_ms(current_timestamp))::DATE;
CREATE MACRO odps_year(x) AS year(odps_instant(x));
CREATE MACRO odps_quarter(x) AS quarter(odps_instant(x));
CREATE MACRO odps_month(x) AS month(odps_instant(x));
CREATE MACRO odps_day(x) AS day(odps_instant(x));
CREATE MACRO odps_hour(x) AS hour(odps_instant(x));
CREATE MACRO odps_minute(x) AS minute(odps_instant(x));
CREATE MACRO odps_second(x) AS second(odps_instant(x));
CREATE MACRO odps_weekofyear(x) AS weekofyear(odps_instant(x));
CREATE MACRO odps_weekday(x) AS (isodow(odps_instant(x)) - 1);
CREATE MACRO odps_dayofweek(x) AS (dayofweek(odps_instant(x)) + 1);
CREATE MACRO odps_dayofyear(x) AS dayofyear(odps_instant(x));
CREATE MACRO odps_last_day(x) AS last_day(odps_instant(x));
CREATE MACRO odps_lastday(x) AS last_day(odps_instant(x))::TIMESTAMP_MS;
CREATE MACRO odps_date_add(x, n) AS (odps_date(x) + n::INTEGER);
CREATE MACRO odps_date_sub(x, n) AS (odps_date(x) - n::INTEGER);
CREATE MACRO odps_add_months(x, n) AS (odps_instant(x) + to_months(n::INTEGER))::DATE;
CREATE MACRO odps_months_between(one, other) AS
    CASE WHEN day(odps_instant(one)) = day(odps_instant(other))
           OR odps_last_day(one) = odps_date(one) AND odps_last_day(other) = odps_date(other)
         THEN date_diff('month', odps_instant(other), odps_instant(one))::DOUBLE
         ELSE round(date_diff('month', odps_instant(other), odps_instant(one))
            + (day(odps_instant(one)) - day(odps_instant(other))
            + (epoch(odps_instant(one)::TIME) - epoch(odps_instant(other)::TIME)) / 86400) / 31.0, 8) END;
CREATE MACRO odps_next_day(x, name) AS odps_date(x) + (1 + (list_position(
    ['mo', 'tu', 'we', 'th', 'fr', 'sa', 'su'], lower(name)[1:2]) - isodow(odps_date(x)) + 6) % 7)::INTEGER;

-- collections; places count from 0 in subscripts, from 1 elsewhere
-- DuckDB has one function for lists and one for maps; JSON has both.
CREATE MACRO odps_size(x) AS (json_array_length(to_json(x)) + len(json_keys(to_json(x))))::BIGINT;
CREATE MACRO odps_map_keys(x) AS map_keys(x);
CREATE MACRO odps_map_values(x) AS map_values(x);
CREATE MACRO odps_map_entries(x) AS map_entries(x);
CREATE MACRO odps_map_from_entries(x) AS map_from_entries(x);
CREATE MACRO odps_array_distinct(x) AS list_distinct(x);
CREATE MACRO odps_array_max(x) AS list_max(x);
CREATE MACRO odps_array_min(x) AS list_min(x);
CREATE MACRO odps_to_json(x) AS to_json(x)::VARCHAR;
CREATE MACRO odps_sort_array(x) AS list_sort(x, 'ASC', 'NULLS FIRST'),
(x, ascending) AS CASE WHEN ascending THEN list_sort(x, 'ASC', 'NULLS FIRST') ELSE list_sort(x, 'DESC', 'NULLS LAST') END;
CREATE MACRO odps_array_join(x, separator) AS array_to_string(x, separator),
(x, separator, absent) AS array_to_string(list_transform(x, lambda e: coalesce(e::VARCHAR, absent)), separator);
CREATE MACRO odps_array_contains(x, e) AS list_contains(x, e);
CREATE MACRO odps_array_position(x, e) AS coalesce(list_position(x, e), 0)::BIGINT;
CREATE MACRO odps_array_remove(x, e) AS list_filter(x, lambda i: i IS DISTINCT FROM e);
CREATE MACRO odps_array_union(x, y) AS list_distinct(list_concat(x, y));
CREATE MACRO odps_array_intersect(x, y) AS list_intersect(x, y);
CREATE MACRO odps_array_except(x, y) AS list_filter(list_distinct(x), lambda i: NOT list_contains(y, i));
CREATE MACRO odps_arrays_overlap(x, y) AS list_has_any(x, y);
CREATE MACRO odps_array_repeat(x, n) AS list_transform(range(n::BIGINT), lambda i: x);
CREATE MACRO odps_slice(x, start, n) AS list_slice(x, start, start + n - 1);
CREATE MACRO odps_sequence(first, last) AS generate_series(first, last);
CREATE MACRO odps_map_of_text(x, outer_split, inner_split) AS map_from_entries(list_transform(string_split(x::VARCHAR, outer_split),
    lambda p: {'k': split_part(p, inner_split, 1), 'v': nullif(split_part(p, inner_split, 2), '')}));
CREATE MACRO odps_str_to_map(x) AS odps_map_of_text(x, ',', ':'),
(x, outer_split) AS odps_map_of_text(x, outer_split, ':'),
(x, outer_split, inner_split) AS odps_map_of_text(x, outer_split, inner_split);
CREATE MACRO odps_item(x, place) AS x[place + 1];
