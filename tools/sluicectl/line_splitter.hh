// Cuts a byte stream that comes in pieces into lines.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sluice::ctl {

class LineSplitter {
public:
    explicit LineSplitter(std::function<void(std::string_view)> on_line) : on_line_(std::move(on_line)) {}

    void feed(std::string_view part) {
        while (true) {
            const auto end = part.find('\n');
            if (end == std::string_view::npos) break;
            if (rest_.empty()) {
                on_line_(part.substr(0, end));
            } else {
                rest_ += part.substr(0, end);
                on_line_(rest_);
                rest_.clear();
            }
            part.remove_prefix(end + 1);
        }
        rest_ += part;
    }

private:
    std::function<void(std::string_view)> on_line_;
    std::string rest_;
};

}  // namespace sluice::ctl
