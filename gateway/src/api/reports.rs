//! `/v1/reports` and `/v1/reporting/report_types`: what the books tell, from a position that is named and can be asked for again.
//!
//! A merchant's key gets reports of its own book; a platform's key that names no account, those of all books. The parameters have
//! the names of Stripe's report runs; there is no run to wait for. Each look is in the audit log.

use super::error::ApiError;
use super::input::{FinanceRead, In, Reply};
use super::params::Params;
use crate::call::Answer;
use crate::report::{self, Ask, Format, Needs, REPORTS, Report, ReportError, Span};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use jiff::Timestamp;
use ledger::BookId;
use serde_json::{Value, json};

pub(super) async fn types(mut input: In<FinanceRead>) -> Reply {
    input.take().finish()?;
    let all = whole(&input);
    let data: Vec<Value> = REPORTS
        .iter()
        .filter(|report| all || report.merchants)
        .map(|report| shown(report))
        .collect();
    Ok(Answer::ok(
        &json!({ "object": "list", "data": data, "has_more": false, "url": "/v1/reporting/report_types" }),
    ))
}

pub(super) async fn make(mut input: In<FinanceRead>) -> Result<Response, ApiError> {
    let mut params = input.take();
    let wanted = params.required_text("report_type")?;
    let format = params.choice("format", &["json", "csv", "pdf"])?;
    let consolidated = params.boolean("consolidated")?.unwrap_or_default();
    let account = match params.text("ledger_account")? {
        None => None,
        Some(name) => Some(name.parse().map_err(|_| {
            let text = "An account of the books is its number, for some an acquirer or bank, and a currency: 2010.usd.";
            ApiError::invalid("parameter_invalid_string", "ledger_account", text)
        })?),
    };
    let position = match params.text("position")? {
        None => report::Which::default(),
        Some(text) => text
            .parse()
            .map_err(|why: String| ApiError::invalid("parameter_invalid_string", "position", why))?,
    };
    let (from, to) = (at(&mut params, "interval_start")?, at(&mut params, "interval_end")?);
    params.finish()?;
    let report = report::find(&wanted).map_err(refused)?;
    let all = whole(&input);
    if !all && !report.merchants {
        return Err(ApiError::forbidden(
            "platform_key_required",
            "This report is about all books: it takes a key of the platform, and no Stripe-Account.",
        ));
    }
    let call = &input.call;
    let ask = Ask {
        book: (!all).then(|| (BookId(call.book_id()), call.merchant.id.clone())),
        consolidated: all && consolidated,
        account,
        from,
        to,
        position,
    };
    let made = {
        let client = call.app.reads.get().await?;
        report::make(&**client, report, ask).await.map_err(refused)?
    };
    let format: Format = match format {
        // The list of words is the list of formats.
        Some(format) => format.parse().map_err(ApiError::internal)?,
        None => Format::Json,
    };
    if format == Format::Json {
        return Ok(Answer::ok(&made.json()).into_response());
    }
    let mut response = made.render(format).into_response();
    let name = format!("attachment; filename=\"{}\"", made.file_name(format));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Whether it is about all books.
fn whole(input: &In<FinanceRead>) -> bool {
    input.platform && input.call.merchant.id == input.key_account
}

fn at(params: &mut Params, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(seconds) = params.integer(name)? else {
        return Ok(None);
    };
    let wrong = || {
        ApiError::invalid(
            "parameter_invalid_integer",
            name,
            "Not a moment in time (unix seconds).",
        )
    };
    Timestamp::from_second(seconds).map(Some).map_err(|_| wrong())
}

fn refused(error: ReportError) -> ApiError {
    let param = match &error {
        ReportError::Database(_) => return ApiError::internal(format!("{error:?}")),
        ReportError::Unknown(_) => "report_type",
        ReportError::NeedsBook(_) => {
            return ApiError::invalid(
                "parameter_missing",
                "report_type",
                "This report is about one merchant: name it in the header Stripe-Account.",
            );
        }
        ReportError::NeedsAccount(_) => "ledger_account",
        ReportError::Position(_) => "position",
        ReportError::EmptySpan | ReportError::Detached(_) | ReportError::TooLong => "interval_end",
    };
    ApiError::invalid(
        "parameter_invalid_value",
        param,
        format!("{}.", capital(&error.to_string())),
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn shown(report: &Report) -> Value {
    let columns: Vec<&str> = report.columns.iter().map(|column| column.name).collect();
    json!({
        "id": report.name,
        "object": "reporting.report_type",
        "about": report.about,
        "columns": columns,
        "default_columns": columns,
        "livemode": false,
        "name": report.title,
        "of_period": report.span == Span::Period,
        "required": match report.needs {
            Needs::Nothing => json!([]),
            Needs::Book => json!(["Stripe-Account"]),
            Needs::Account => json!(["Stripe-Account", "ledger_account"]),
        },
        "version": 1,
    })
}
