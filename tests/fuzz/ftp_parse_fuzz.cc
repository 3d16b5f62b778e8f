// libFuzzer harness of the FTP helper's pure pieces: any bytes, from either side, cut anywhere. The first two bytes say
// which side speaks and where the payload is cut; the rest is the payload. A broken promise aborts.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "dataplane/flow/seq_adjust.hh"
#include "dataplane/track/alg/ftp_parse.hh"
#include "dataplane/track/alg/segment_join.hh"
#include "dataplane/translate/ftp_mangle.hh"

using namespace sluice;

namespace {

void require(bool promise) {
    if (!promise) std::abort();
}

/// What was found stays what it is when its endpoint is replaced, and nothing around it changes.
void check_rewrite(std::string_view payload, FtpSide side, const FtpCommand& command) {
    const auto line = payload.substr(command.line_begin, command.line_end - command.line_begin);
    const auto begin = command.text_begin - command.line_begin;
    const auto end = command.text_end - command.line_begin;
    const bool v6 = command.has_address && !command.address.is_v4();
    const IpAddress address =
        v6 ? ip6(0x2001, 0xdb8, 0, 0, 0x1111, 0x2222, 0, 0x3333) : IpAddress(ip4(203, 0, 113, 255));
    const Be16 port = be16(54321);
    std::array<char, kMaxHostPort> text{};
    const auto size = format_host_port(command.kind, address, port, command.delimiter, text);
    require(size != 0);
    std::string buffer(line);
    buffer.resize(line.size() + kMaxHostPort);
    const auto length = replace_in_payload(buffer, line.size(), begin, end, {text.data(), size});
    require(length.has_value());
    buffer.resize(*length);
    require(buffer.substr(0, begin) == line.substr(0, begin));
    require(buffer.substr(begin + size) == line.substr(end));
    FtpScan again(buffer, side);
    const auto found = again.next();
    require(found && found->announces() && found->kind == command.kind && found->port == port);
    require(!found->has_address || found->address == address);
    require(!again.next());
}

std::uint16_t check_scan(std::string_view payload, FtpSide side, std::uint16_t open_reply) {
    FtpScan scan(payload, side, open_reply);
    std::size_t at = 0;
    while (const auto command = scan.next()) {
        require(command->line_begin >= at && command->line_end > command->line_begin);
        require(command->line_end <= payload.size());
        require(command->line_begin == 0 || payload[command->line_begin - 1] == '\n');
        require(command->incomplete == (payload[command->line_end - 1] != '\n'));
        require(command->incomplete || command->kind != FtpKind::unknown);
        at = command->line_end;
        if (!command->announces()) continue;
        require(!command->incomplete && command->problem == FtpProblem::none && command->port.host() >= 1024);
        require(command->text_begin > command->line_begin && command->text_end < command->line_end);
        check_rewrite(payload, side, *command);
    }
    return scan.open_reply();
}

/// Cut at `cut`, held and joined, the payload is the same again.
void check_join(std::string_view payload, FtpSide side, std::size_t cut) {
    FtpScan scan(payload.substr(0, cut), side);
    while (const auto command = scan.next()) {
        if (!command->incomplete) continue;
        constexpr std::uint32_t kStart = 0xffffff80U;
        const auto begin = kStart + static_cast<std::uint32_t>(command->line_begin);
        const auto part = payload.substr(command->line_begin, cut - command->line_begin);
        const auto rest = payload.substr(cut);
        SegmentJoin join;
        if (join.hold(begin, part, 0) != HoldResult::held || rest.empty()) return;
        const auto step = join.arrive(kStart + static_cast<std::uint32_t>(cut), rest.size());
        require(step.action == JoinAction::join && step.skip == 0);
        std::string out(payload.size(), '\0');
        out.resize(join.join(rest, step.skip, out));
        require(out == payload.substr(command->line_begin));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const auto side = (data[0] & 1U) != 0 ? FtpSide::server : FtpSide::client;
    const std::string_view payload(reinterpret_cast<const char*>(data + 2), size - 2);
    const auto open_reply = check_scan(payload, side, 0);
    check_scan(payload, side, open_reply);
    check_join(payload, side, data[1] % (payload.size() + 1));

    // The same bytes as TCP options.
    SeqAdjust adjust;
    require(adjust.record(data[0], data[0] + 20U, data[1] % 40 - 20) == SeqRecord::recorded);
    std::string options(payload.substr(0, 40));
    adjust.adjust_sack({reinterpret_cast<std::uint8_t*>(options.data()), options.size()});
    return 0;
}
