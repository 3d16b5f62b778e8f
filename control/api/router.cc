// Dispatch and the small tools of handlers. The query is decoded here because Debian's Boost.URL is a compiled library
// that nothing else needs.
#include "control/api/router.hh"

#include <exception>
#include <optional>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace sluice::api {
namespace {

std::optional<unsigned> hex_digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
    return std::nullopt;
}

bool percent_decode(std::string_view in, bool plus_is_space, std::string& out) {
    out.clear();
    for (std::size_t i = 0; i < in.size(); ++i) {
        char c = in[i];
        if (c == '%') {
            if (i + 2 >= in.size()) return false;
            const auto high = hex_digit(in[i + 1]);
            const auto low = hex_digit(in[i + 2]);
            if (!high || !low) return false;
            c = static_cast<char>(*high * 16 + *low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0') return false;
        out += c;
    }
    return true;
}

}  // namespace

void reply_error(Exchange& exchange, http::status status, std::string_view message) {
    exchange.reply(status, "application/json", boost::json::serialize(boost::json::object{{"error", message}}) + '\n');
}

bool decode_target(std::string_view target, std::string& path, QueryParameters& query) {
    query.clear();
    const auto mark = target.find('?');
    if (!target.starts_with('/') || !percent_decode(target.substr(0, mark), false, path)) return false;
    if (mark == std::string_view::npos) return true;
    std::string_view rest = target.substr(mark + 1);
    while (!rest.empty()) {
        const auto ampersand = rest.find('&');
        const auto pair = rest.substr(0, ampersand);
        rest.remove_prefix(ampersand == std::string_view::npos ? rest.size() : ampersand + 1);
        if (pair.empty()) continue;
        const auto equals = pair.find('=');
        auto& [name, value] = query.emplace_back();
        if (!percent_decode(pair.substr(0, equals), true, name)) return false;
        if (equals != std::string_view::npos && !percent_decode(pair.substr(equals + 1), true, value)) return false;
    }
    return true;
}

std::string percent_encode(std::string_view value) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    std::string out;
    for (const char c : value) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '.' || c == '_' || c == '~';
        if (plain) {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += kHex[byte >> 4];
        out += kHex[byte & 15];
    }
    return out;
}

void Router::add(http::verb method, std::string path, Handler handler) {
    routes_[std::move(path)][method] = std::move(handler);
}

void Router::dispatch(const ExchangePtr& exchange) const {
    const Request& request = exchange->request();
    const auto route = routes_.find(request.path);
    if (route == routes_.end()) {
        reply_error(*exchange, http::status::not_found, "no such path: " + request.path);
        return;
    }
    const auto handler = route->second.find(request.method);
    if (handler == route->second.end()) {
        std::string allowed;
        for (const auto& [method, unused] : route->second)
            allowed += (allowed.empty() ? "" : ", ") + std::string(http::to_string(method));
        exchange->set_header(http::field::allow, allowed);
        reply_error(*exchange, http::status::method_not_allowed, request.path + " allows " + allowed);
        return;
    }
    try {
        handler->second(exchange);
    } catch (const std::exception& error) {
        reply_error(*exchange, http::status::internal_server_error, error.what());
    }
}

}  // namespace sluice::api
