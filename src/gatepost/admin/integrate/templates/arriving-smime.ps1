# Only what looks like S/MIME: out-of-office notices, SharePoint and the rest stay where they are.
Ensure 'TransportRule' @in@ @{
    FromScope = 'NotInOrganization'
    SentToScope = 'InOrganization'
    HeaderMatchesMessageHeader = 'Content-Type'
    HeaderMatchesPatterns = @(@smime@)
    ExceptIfHeaderMatchesMessageHeader = @field@
    ExceptIfHeaderMatchesPatterns = '.'
    RouteMessageOutboundConnector = @to@
    Priority = 2
}
