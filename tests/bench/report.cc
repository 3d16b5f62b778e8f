#include "tests/bench/report.hh"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>

namespace sluice::bench {

namespace {

namespace json = boost::json;

template <class... Values>
std::string text(const char* format, Values... values) {
    char line[256];
    std::snprintf(line, sizeof line, format, values...);
    return line;
}

std::string cell(const json::object& row, const std::string& column) {
    const json::value* v = row.if_contains(column);
    if (v == nullptr) {
        // "loop_cycles.p99.9" is the member "p99.9" of a member.
        const std::size_t dot = column.find('.');
        const json::value* inner = dot == std::string::npos ? nullptr : row.if_contains(column.substr(0, dot));
        return inner == nullptr || !inner->is_object() ? "-" : cell(inner->as_object(), column.substr(dot + 1));
    }
    if (v->is_null()) return "-";
    if (v->is_string()) return std::string(v->as_string());
    if (v->is_bool()) return v->as_bool() ? "yes" : "no";
    if (v->is_double()) return text(std::fabs(v->as_double()) < 10 ? "%.2f" : "%.1f", v->as_double());
    return json::serialize(*v);
}

void print_rows(std::ostream& out, const std::vector<std::string>& columns,
                const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& column : columns) widths.push_back(column.size());
    for (const auto& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    const auto line = [&](const std::vector<std::string>& cells) {
        for (std::size_t i = 0; i < cells.size(); ++i)
            out << (i == 0 ? "" : "  ") << std::string(widths[i] - cells[i].size(), ' ') << cells[i];
        out << "\n";
    };
    line(columns);
    for (const auto& row : rows) line(row);
}

void print_stages(std::ostream& out, const Section& s) {
    std::vector<std::string> columns{"case"};
    for (const auto name : kStageNames) columns.emplace_back(name);
    std::vector<std::vector<std::string>> rows;
    for (std::size_t i = 0; i < s.rows.size(); ++i) {
        const json::value* stages = s.rows[i].if_contains("stages");
        if (stages == nullptr) continue;
        std::vector<std::string> cells{std::to_string(i + 1)};
        double sum = 0;
        for (const auto& [name, cycles] : stages->as_object()) sum += cycles.as_double();
        for (const auto& [name, cycles] : stages->as_object())
            cells.push_back(text("%.1f %3.0f%%", cycles.as_double(), sum > 0 ? 100 * cycles.as_double() / sum : 0));
        rows.push_back(std::move(cells));
    }
    if (rows.empty()) return;
    out << "cycles per packet in each stage (share)\n";
    print_rows(out, columns, rows);
}

}  // namespace

json::object percentiles(const LoopTimes& times) {
    return {{"p50", times.quantile(0.5)},
            {"p99", times.quantile(0.99)},
            {"p99.9", times.quantile(0.999)},
            {"longest", times.longest()},
            {"loops", times.count()}};
}

json::object drops_since(const BenchBox& box, const std::vector<std::uint64_t>& before) {
    json::object reasons;
    const auto now = box.drops_by_reason();
    for (std::size_t i = 0; i < now.size(); ++i)
        if (now[i] != before[i]) reasons[kDropReasonNames[i]] = now[i] - before[i];
    return reasons;
}

void must_not_drop(const std::string& scenario, const json::object& drops) {
    if (!drops.empty()) throw std::runtime_error(scenario + " lost packets: " + json::serialize(drops));
}

json::object stages_of(const std::array<double, kStageCount>& cycles) {
    json::object stages;
    for (std::size_t s = 0; s < kStageCount; ++s) stages[kStageNames[s]] = cycles[s];
    return stages;
}

double mpps(std::uint64_t hz, double cycles) {
    return cycles > 0 ? static_cast<double>(hz) / cycles / 1e6 : 0;
}

void print_tables(std::ostream& out, const Report& r) {
    out << text("TSC %.3f GHz, %s, %s, %s tuples, %llu packets a round, %u rounds%s\n", static_cast<double>(r.hz) / 1e9,
                r.memory.c_str(), r.protocol.c_str(), r.pattern.c_str(), static_cast<unsigned long long>(r.packets),
                r.rounds, r.verified ? ", translations and checksums verified" : "");
    for (const Section& s : r.sections) {
        out << "\n" << s.scenario << ": " << s.about << "\n";
        std::vector<std::string> columns{"case"};
        columns.insert(columns.end(), s.columns.begin(), s.columns.end());
        std::vector<std::vector<std::string>> rows;
        for (const auto& row : s.rows) {
            std::vector<std::string> cells{std::to_string(rows.size() + 1)};
            for (const auto& column : s.columns) cells.push_back(cell(row, column));
            rows.push_back(std::move(cells));
        }
        print_rows(out, columns, rows);
        print_stages(out, s);
        for (std::size_t i = 0; i < s.rows.size(); ++i)
            if (const json::value* drops = s.rows[i].if_contains("drops"); drops != nullptr)
                if (!drops->as_object().empty())
                    out << "case " << i + 1 << " dropped: " << json::serialize(*drops) << "\n";
    }
}

void print_json(std::ostream& out, const Report& r) {
    json::array cases, scenarios;
    for (const Section& s : r.sections) {
        scenarios.push_back(json::object{{"scenario", s.scenario}, {"about", s.about}});
        for (const auto& row : s.rows) {
            json::object named{{"scenario", s.scenario}};
            for (const auto& member : row) named.insert(member);
            cases.emplace_back(std::move(named));
        }
    }
    out << json::serialize(json::object{{"protocol", r.protocol},
                                        {"pattern", r.pattern},
                                        {"memory", r.memory},
                                        {"packets_per_round", r.packets},
                                        {"rounds", r.rounds},
                                        {"tsc_hz", r.hz},
                                        {"cpus", r.cpus},
                                        {"verified", r.verified},
                                        {"scenarios", std::move(scenarios)},
                                        {"cases", std::move(cases)}})
        << "\n";
}

}  // namespace sluice::bench
