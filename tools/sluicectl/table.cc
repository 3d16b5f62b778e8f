#include "tools/sluicectl/table.hh"

#include <algorithm>
#include <array>
#include <string_view>

#include <spdlog/fmt/fmt.h>

namespace sluice::ctl {
namespace {

/// Columns on the screen: UTF-8 continuation bytes take none.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void append_cell(std::string& line, const std::string& cell, std::size_t width, Table::Align align) {
    const std::string padding(width - width_of(cell), ' ');
    line += align == Table::Align::right ? padding + cell : cell + padding;
    line += "  ";
}

}  // namespace

std::string Table::text() const {
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        std::size_t width = width_of(columns_[c].title);
        for (const auto& row : rows_) width = std::max(width, width_of(row[c]));
        widths.push_back(width);
    }
    std::string out;
    const auto add_line = [&](auto&& cell_of) {
        std::string line;
        for (std::size_t c = 0; c < columns_.size(); ++c) append_cell(line, cell_of(c), widths[c], columns_[c].align);
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + '\n';
    };
    add_line([&](std::size_t c) -> const std::string& { return columns_[c].title; });
    for (const auto& row : rows_) add_line([&](std::size_t c) -> const std::string& { return row[c]; });
    return out;
}

std::string human_bytes(std::uint64_t bytes) {
    constexpr auto kUnits = std::to_array<std::string_view>({"B", "kB", "MB", "GB", "TB", "PB", "EB"});
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1000 && unit + 1 < kUnits.size()) {
        value /= 1000;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string human_duration(std::uint64_t seconds) {
    const auto days = seconds / 86400;
    const auto hours = seconds / 3600 % 24;
    const auto minutes = seconds / 60 % 60;
    if (days > 0) return fmt::format("{}d {}h {}m", days, hours, minutes);
    if (hours > 0) return fmt::format("{}h {}m", hours, minutes);
    if (minutes > 0) return fmt::format("{}m {}s", minutes, seconds % 60);
    return fmt::format("{}s", seconds);
}

}  // namespace sluice::ctl
