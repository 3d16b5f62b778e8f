// See ftp_mangle.hh.
#include "dataplane/translate/ftp_mangle.hh"

#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <netinet/in.h>

namespace sluice {
namespace {

/// Writes into the place of a text, which is large enough for every form.
class Text {
public:
    explicit Text(std::span<char, kMaxHostPort> room) noexcept : room_(room) {}

    void number(unsigned value) noexcept {
        at_ =
            static_cast<std::size_t>(std::to_chars(&room_[at_], room_.data() + room_.size(), value).ptr - room_.data());
    }
    void character(char c) noexcept { room_[at_++] = c; }
    /// Six of them are in nearly every text: a number whose digits need not be counted first.
    void octet(unsigned value) noexcept {
        if (value >= 100) digit(value / 100);
        if (value >= 10) digit(value / 10 % 10);
        digit(value % 10);
    }
    void octets(Ip4 address, char separator) noexcept {
        const auto host = address.host();
        for (unsigned shift = 24;; shift -= 8) {
            octet((host >> shift) & 0xffU);
            if (shift == 0) return;
            character(separator);
        }
    }
    void address(const IpAddress& address) noexcept {
        if (address.is_v4()) return octets(address.v4(), '.');
        char text[INET6_ADDRSTRLEN];
        for (const char* c = inet_ntop(AF_INET6, &address, text, sizeof text); *c != '\0'; ++c) character(*c);
    }
    [[nodiscard]] std::size_t length() const noexcept { return at_; }

private:
    void digit(unsigned value) noexcept { character(static_cast<char>('0' + value)); }

    std::span<char, kMaxHostPort> room_;
    std::size_t at_ = 0;
};

}  // namespace

std::size_t format_host_port(FtpKind kind, const IpAddress& address, Be16 port, char delimiter,
                             std::span<char, kMaxHostPort> out) noexcept {
    Text text(out);
    switch (kind) {
        case FtpKind::port:
        case FtpKind::pasv_reply:
            if (!address.is_v4()) return 0;
            text.octets(address.v4(), ',');
            text.character(',');
            text.octet(port.host() >> 8U);
            text.character(',');
            text.octet(port.host() & 0xffU);
            break;
        case FtpKind::eprt:
            text.address(address);
            text.character(delimiter);
            text.number(port.host());
            break;
        case FtpKind::epsv_reply:
            text.number(port.host());
            break;
        case FtpKind::unknown:
        case FtpKind::epsv:
        case FtpKind::epsv_all:
        case FtpKind::protocol_refused:
            break;
    }
    return text.length();
}

std::optional<std::size_t> replace_in_payload(std::span<char> payload, std::size_t length, std::size_t begin,
                                              std::size_t end, std::string_view replacement) noexcept {
    if (length > payload.size() || begin > end || end > length) return std::nullopt;
    const auto kept = length - (end - begin);
    if (replacement.size() > payload.size() - kept) return std::nullopt;
    std::memmove(payload.data() + begin + replacement.size(), payload.data() + end, length - end);
    if (!replacement.empty()) std::memcpy(payload.data() + begin, replacement.data(), replacement.size());
    return kept + replacement.size();
}

}  // namespace sluice
